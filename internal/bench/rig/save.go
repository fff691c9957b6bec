package rig

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/sim"
)

// saveBytes is the size of the result that is saved: the largest source that kie.ai takes.
const saveBytes = 500_000_000

// save measures how fast a result comes into the bucket, from the event that says so to the one that says that it is
// there, against curl, which neither verifies nor syncs what it writes; and by how much the service grows meanwhile.
func (r *rig) save(ctx context.Context) ([]bench.Row, error) {
	return r.withProvider(ctx, 0, writeLargeClip, r.saveWith)
}

func (r *rig) saveWith(ctx context.Context, s *service, p *fakeProvider) ([]bench.Row, error) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		return nil, fmt.Errorf("find curl, the baseline: %w", err)
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := refractv1.NewTaskServiceClient(conn)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.token)
	var turns []bench.Row
	grown := 0.0
	for range r.Rounds {
		before, err := bench.ResidentMiB(s.cmd.Process.Pid)
		if err := errors.Join(err, bench.ResetPeak(s.cmd.Process.Pid)); err != nil {
			return nil, err
		}
		took, err := saveOnce(ctx, client, p.host.URL+"/large.mp4")
		if err != nil {
			return nil, err
		}
		peak, err := bench.PeakMiB(s.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		grown = max(grown, peak-before)
		byCurl, err := p.fetchByCurl(ctx, curl, filepath.Join(r.dir, "curl.mp4"))
		if err != nil {
			return nil, err
		}
		r.tell("  save of 500 MB: %s, growing by %.0f MiB; curl %s", took, peak-before, byCurl)
		turns = append(turns, bench.AtLeast("save of a 500 MB result", "MB/s", saveBytes/1e6/took.Seconds(), saveBytes/1e6/byCurl.Seconds(), "curl", 0.8))
	}
	return []bench.Row{bench.Median(turns), bench.AtMost("memory that a save of 500 MB takes", "MiB", grown, 64)}, nil
}

// saveOnce modifies a clip and returns how long its result took to be saved.
func saveOnce(ctx context.Context, client refractv1.TaskServiceClient, source string) (time.Duration, error) {
	resp, err := client.SubmitTask(ctx, &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: "a large result",
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: source}},
	})
	if err != nil {
		return 0, err
	}
	stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: resp.GetTask().GetId()})
	if err != nil {
		return 0, err
	}
	var began time.Time
	for {
		m, err := stream.Recv()
		if err != nil {
			return 0, err
		}
		switch e := m.GetEvent(); e.GetState() {
		case refractv1.TaskState_TASK_STATE_SAVING:
			began = e.GetCreateTime().AsTime()
		case refractv1.TaskState_TASK_STATE_SUCCEEDED:
			return e.GetCreateTime().AsTime().Sub(began), nil
		case refractv1.TaskState_TASK_STATE_FAILED:
			return 0, fmt.Errorf("the task failed: %s", e.GetMessage())
		default:
		}
	}
}

// fetchByCurl fetches the result that the service fetched last.
func (p *fakeProvider) fetchByCurl(ctx context.Context, curl, file string) (time.Duration, error) {
	downloads := slices.DeleteFunc(p.sim.Downloads(), func(d sim.Download) bool { return d.TaskID == "" })
	if len(downloads) == 0 {
		return 0, errors.New("the service fetched no result")
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, curl, "-sSf", "-o", file, p.sim.URL()+downloads[len(downloads)-1].Path).CombinedOutput() //nolint:gosec // curl.
	if err != nil {
		return 0, fmt.Errorf("fetch the result with curl: %w: %s", err, out)
	}
	return time.Since(began), os.Remove(file)
}

// writeLargeClip writes a video that is filled up with zeros, which players skip.
func writeLargeClip(_ context.Context, path string) error {
	clip := sim.TinyClip()
	padding := binary.BigEndian.AppendUint32(nil, uint32(saveBytes-len(clip))) //nolint:gosec // Half a gigabyte less a clip.
	if err := os.WriteFile(path, bytes.Join([][]byte{clip, padding, []byte("free")}, nil), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, saveBytes)
}
