package api

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
)

// AccountStore is what operators see and change of provider accounts.
type AccountStore interface {
	// ProviderAccounts returns how the configured accounts stand, by name.
	ProviderAccounts(ctx context.Context, configured admission.AccountLimits) ([]admission.Account, error)
	// LimitAccount sets the limits of an account, or returns admission.ErrAccountNotFound, as the next two.
	LimitAccount(ctx context.Context, account string, l admission.OperatorLimits) error
	// HoldAccount pauses an account until it is released.
	HoldAccount(ctx context.Context, account, reason string) error
	// ReleaseAccount ends every pause of an account.
	ReleaseAccount(ctx context.Context, account string) error
}

// ListProviderAccounts lists the configured accounts.
func (s *OperatorService) ListProviderAccounts(ctx context.Context, _ *refractv1.ListProviderAccountsRequest) (*refractv1.ListProviderAccountsResponse, error) {
	accounts, err := s.accounts.ProviderAccounts(ctx, s.configured)
	if err != nil {
		return nil, err
	}
	resp := &refractv1.ListProviderAccountsResponse{}
	for i := range accounts {
		resp.Accounts = append(resp.Accounts, providerAccount(&accounts[i]))
	}
	return resp, nil
}

// UpdateProviderLimits sets the limits of an account.
func (s *OperatorService) UpdateProviderLimits(ctx context.Context, req *refractv1.UpdateProviderLimitsRequest) (*refractv1.UpdateProviderLimitsResponse, error) {
	l := admission.OperatorLimits{
		Submissions: int(req.GetRate().GetSubmissions()), Window: req.GetRate().GetWindow().AsDuration(), InFlight: int(req.GetInFlight()),
	}
	account, err := s.changeAccount(ctx, req.GetAccount(), func(account string) error {
		return s.accounts.LimitAccount(ctx, account, l)
	})
	if err != nil {
		return nil, err
	}
	in := account.GetLimits()
	s.logChange(ctx, "limits of a provider account", "account", req.GetAccount(), "submissions", in.GetRate().GetSubmissions(),
		"window", in.GetRate().GetWindow().AsDuration(), "in_flight", in.GetInFlight())
	return &refractv1.UpdateProviderLimitsResponse{Account: account}, nil
}

// PauseProvider pauses an account.
func (s *OperatorService) PauseProvider(ctx context.Context, req *refractv1.PauseProviderRequest) (*refractv1.PauseProviderResponse, error) {
	account, err := s.changeAccount(ctx, req.GetAccount(), func(account string) error {
		return s.accounts.HoldAccount(ctx, account, req.GetReason())
	})
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "pause of a provider account", "account", req.GetAccount(), "reason", req.GetReason())
	return &refractv1.PauseProviderResponse{Account: account}, nil
}

// ResumeProvider ends the pause of an account.
func (s *OperatorService) ResumeProvider(ctx context.Context, req *refractv1.ResumeProviderRequest) (*refractv1.ResumeProviderResponse, error) {
	account, err := s.changeAccount(ctx, req.GetAccount(), func(account string) error {
		return s.accounts.ReleaseAccount(ctx, account)
	})
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "end of the pause of a provider account", "account", req.GetAccount())
	return &refractv1.ResumeProviderResponse{Account: account}, nil
}

// changeAccount changes a configured account, lets admission know, and returns the account as it stands then.
func (s *OperatorService) changeAccount(ctx context.Context, account string, change func(string) error) (*refractv1.ProviderAccount, error) {
	limits, ok := s.configured[account]
	if !ok {
		return nil, &admission.AccountError{Account: account, Err: admission.ErrAccountNotFound}
	}
	if err := change(account); err != nil {
		return nil, err
	}
	s.admit()
	accounts, err := s.accounts.ProviderAccounts(ctx, admission.AccountLimits{account: limits})
	if err != nil {
		return nil, err
	}
	if len(accounts) == 0 {
		return nil, &admission.AccountError{Account: account, Err: admission.ErrAccountNotFound}
	}
	return providerAccount(&accounts[0]), nil
}

func providerAccount(a *admission.Account) *refractv1.ProviderAccount {
	m := &refractv1.ProviderAccount{
		Account:               a.Account,
		Provider:              a.Provider,
		Limits:                limits(a.Limits),
		ConfiguredLimits:      limits(a.Configured),
		RecentSubmissions:     count32(a.Recent),
		UnansweredSubmissions: count32(a.Unanswered),
		InFlight:              count32(a.InFlight),
		Probing:               a.Probing,
		Blocked:               a.Blocked,
		UnknownOutcomes:       count32(a.Unknown),
		QueuedTasks:           count32(a.Queued),
	}
	switch {
	case a.Storage != "" && !a.Held: // It holds for every account, and longer than most pauses.
		m.Pause = &refractv1.ProviderPause{
			Cause: refractv1.WaitingCause_WAITING_CAUSE_STORAGE_UNAVAILABLE, Reason: "results can't be stored: the storage " + a.Storage,
		}
	case a.Paused:
		m.Pause = &refractv1.ProviderPause{
			Cause: refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED, Reason: a.PauseReason, ByOperator: a.Held,
		}
		if !a.Held {
			m.Pause.UntilTime = timestamppb.New(a.PausedUntil)
		}
	}
	if a.Typical > 0 {
		m.TypicalDuration = durationpb.New(a.Typical)
	}
	return m
}

func limits(l provider.Limits) *refractv1.ProviderLimits {
	return &refractv1.ProviderLimits{
		Rate:     &refractv1.SubmissionRate{Submissions: count32(l.Submissions), Window: durationpb.New(l.Window)},
		InFlight: count32(l.InFlight),
	}
}
