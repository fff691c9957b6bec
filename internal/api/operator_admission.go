package api

import (
	"context"
	"encoding/base64"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// Fence keeps whether anything is sent to providers, and what a database that was set back has forgotten.
type Fence interface {
	Admission(ctx context.Context) (fence.Admission, error)
	Close(ctx context.Context, message string) error
	Open(ctx context.Context, acceptUnknown bool) error
	Unknown(ctx context.Context, from []byte, limit int, settle fence.Settle) (unknown []fence.UnknownAttempt, next []byte, err error)
}

// GetAdmission returns whether tasks are sent to providers.
func (s *OperatorService) GetAdmission(ctx context.Context, _ *refractv1.GetAdmissionRequest) (*refractv1.GetAdmissionResponse, error) {
	a, err := s.fence.Admission(ctx)
	if err != nil {
		return nil, err
	}
	return &refractv1.GetAdmissionResponse{Admission: admissionState(a)}, nil
}

// CloseAdmission closes admission at all replicas.
func (s *OperatorService) CloseAdmission(ctx context.Context, req *refractv1.CloseAdmissionRequest) (*refractv1.CloseAdmissionResponse, error) {
	if err := s.fence.Close(ctx, req.GetReason()); err != nil {
		return nil, err
	}
	s.logChange(ctx, "closing of admission", "reason", req.GetReason())
	a, err := s.fence.Admission(ctx)
	if err != nil {
		return nil, err
	}
	return &refractv1.CloseAdmissionResponse{Admission: admissionState(a)}, nil
}

// OpenAdmission opens admission at all replicas.
func (s *OperatorService) OpenAdmission(ctx context.Context, req *refractv1.OpenAdmissionRequest) (*refractv1.OpenAdmissionResponse, error) {
	if err := s.fence.Open(ctx, req.GetAcceptUnknown()); err != nil {
		return nil, err
	}
	s.admit()
	s.logChange(ctx, "opening of admission", "accept_unknown", req.GetAcceptUnknown())
	a, err := s.fence.Admission(ctx)
	if err != nil {
		return nil, err
	}
	return &refractv1.OpenAdmissionResponse{Admission: admissionState(a)}, nil
}

// CheckRestore lists what was sent and what the database has forgotten.
func (s *OperatorService) CheckRestore(ctx context.Context, req *refractv1.CheckRestoreRequest) (*refractv1.CheckRestoreResponse, error) {
	from, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil {
		return nil, &lifecycle.FieldError{Field: "page_token", Message: "is not the next_page_token of a page"}
	}
	if len(from) == 0 {
		from = nil
	}
	var settle fence.Settle
	if req.GetSettle() {
		settle = s.lifecycle.SettleRecord
		if err := s.audit.Record(ctx, audit.Change{Action: "admission.settle", Target: "admission"}); err != nil {
			return nil, err
		}
	}
	unknown, next, err := s.fence.Unknown(ctx, from, pageSize(req.GetPageSize()), settle)
	if err != nil {
		return nil, err
	}
	if req.GetSettle() && len(from) == 0 {
		s.logChange(ctx, "settling of attempts that a restore forgot")
	}
	a, err := s.fence.Admission(ctx)
	if err != nil {
		return nil, err
	}
	resp := &refractv1.CheckRestoreResponse{Admission: admissionState(a), NextPageToken: base64.RawURLEncoding.EncodeToString(next)}
	for _, u := range unknown {
		resp.Attempts = append(resp.Attempts, unknownAttempt(u))
	}
	return resp, nil
}

func admissionState(a fence.Admission) *refractv1.Admission {
	state := &refractv1.Admission{
		Open: a.Open(), Message: a.Message,
		CloseReason: refractv1.AdmissionCloseReason(refractv1.AdmissionCloseReason_value["ADMISSION_CLOSE_REASON_"+string(a.Reason)]),
	}
	if !a.CloseTime.IsZero() {
		state.CloseTime = timestamppb.New(a.CloseTime)
	}
	return state
}

func unknownAttempt(u fence.UnknownAttempt) *refractv1.UnknownAttempt {
	a := &refractv1.UnknownAttempt{
		Tenant: u.Tenant, RequestId: u.RequestID, TaskId: string(u.Task), TaskKnown: u.Now.Task != "", Attempt: count32(u.Number),
		Provider: u.Provider, Account: u.Account, SendTime: timestamppb.New(u.SendTime), ProviderTaskId: u.ProviderTaskID,
		Refused: u.Outcome == task.OutcomeRefused,
	}
	if a.GetTaskKnown() {
		a.TaskState = stateOf(u.Now.State)
	}
	return a
}
