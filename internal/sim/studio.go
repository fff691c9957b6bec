package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// studio turns inputs into results: it fetches, and it runs ffmpeg.
type studio struct {
	cfg    Config
	dir    string
	log    *slog.Logger
	client *http.Client
	// desk lets as many transforms run at a time as leave the machine usable.
	desk chan struct{}

	codecOnce sync.Once
	codec     []string
}

func newStudio(cfg Config, dir string) *studio {
	return &studio{
		cfg: cfg, dir: dir, log: cfg.Logger,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
		desk:   make(chan struct{}, 2),
	}
}

// badInputError is the reason of a generation that fails because of its source.
type badInputError struct {
	code    int
	message string
	cause   error
}

func (e *badInputError) Error() string { return fmt.Sprintf("%s: %v", e.message, e.cause) }
func (e *badInputError) Unwrap() error { return e.cause }

// produce returns the input and the result of a job. A [badInputError] fails the job; any other error means that ctx
// ended.
func (s *studio) produce(ctx context.Context, j *Job) (origin, result File, err error) {
	if s.cfg.Source == SourceFetch {
		origin.path, err = s.fetch(ctx, j.Submission.VideoURL, s.cfg.WorkLimit)
		if err != nil {
			return origin, origin, reject(ctx, http.StatusUnprocessableEntity, "Failed to fetch the video from videoUrl", err)
		}
	}
	result = origin
	program, err := exec.LookPath(s.cfg.FFmpeg)
	if s.cfg.Transform == TransformNone || err != nil {
		return origin, result, nil
	}
	result.path, err = s.transform(ctx, program, origin, j.Submission.Prompt)
	if err != nil {
		return origin, result, reject(ctx, http.StatusNotImplemented, "Generation failed", err)
	}
	return origin, result, nil
}

// reject makes err the reason of a failed generation, unless it only says that ctx ended.
func reject(ctx context.Context, code int, message string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &badInputError{code: code, message: message, cause: err}
}

// fetch downloads a file into the directory of the studio and returns its path.
func (s *studio) fetch(ctx context.Context, from string, limit time.Duration) (string, error) {
	u, err := url.Parse(from)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("fetch source: not an http or https URL")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil) //nolint:gosec // A simulator fetches what its client names.
	if err != nil {
		return "", fmt.Errorf("fetch source: %w", err)
	}
	resp, err := s.client.Do(req) //nolint:gosec // As above.
	if err != nil {
		return "", fmt.Errorf("fetch source: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetch source: status %d", resp.StatusCode)
	}
	return save(s.dir, resp.Body, s.cfg.MaxFile)
}

// withoutURL takes the URL out of an error of an HTTP client: it may carry a signature or a token.
func withoutURL(err error) error {
	var carrier *url.Error
	if errors.As(err, &carrier) {
		return carrier.Err
	}
	return err
}

// ErrTooLarge is the error of a file that is larger than [Config].MaxFile.
var ErrTooLarge = errors.New("file is too large")

// save writes at most limit bytes to a fresh file and returns its path; a longer stream is an error and leaves no file.
func save(dir string, from io.Reader, limit int64) (path string, err error) {
	f, err := os.CreateTemp(dir, "file-")
	if err != nil {
		return "", fmt.Errorf("save file: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(from, limit+1))
	if err == nil && n > limit {
		err = ErrTooLarge
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("save file: %w", err)
	}
	return f.Name(), nil
}

// looks are the visible changes that a prompt can get; which one depends on its text alone.
var looks = []string{
	"edgedetect=mode=colormix:high=0.1,hue=h=140:s=2.2",
	"hue=h=200:s=1.6",
	"negate,hue=h=40",
	"colorchannelmixer=.393:.769:.189:0:.349:.686:.168:0:.272:.534:.131,vignette",
	"edgedetect=low=0.05:high=0.15,negate",
}

// transform runs ffmpeg over the input and returns the path of the new file.
func (s *studio) transform(ctx context.Context, program string, in File, prompt string) (string, error) {
	select {
	case s.desk <- struct{}{}:
		defer func() { <-s.desk }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WorkLimit)
	defer cancel()
	input, err := in.file(s.dir)
	if err != nil {
		return "", err
	}
	hash := fnv.New32a()
	_, _ = io.WriteString(hash, prompt)
	out := filepath.Join(s.dir, "out-"+RandomHex()+".mp4")
	// NOTE: only local files may be opened; otherwise a playlist sent as a video could make ffmpeg fetch anything.
	args := []string{
		"-nostdin", "-loglevel", "error", "-protocol_whitelist", "file", "-i", input, "-t", "30", "-an",
		"-vf", looks[int(hash.Sum32())%len(looks)] + ",scale=trunc(iw/2)*2:trunc(ih/2)*2",
	}
	args = append(args, s.encoder(ctx, program)...)
	args = append(args, "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-y", out)
	if text, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil { //nolint:gosec // A configured program.
		_ = os.Remove(out)
		return "", fmt.Errorf("run ffmpeg: %w: %.300s", err, strings.TrimSpace(string(text)))
	}
	return out, nil
}

// encoder returns the video codec options: libx264, or mpeg4 for an ffmpeg built without it.
func (s *studio) encoder(ctx context.Context, program string) []string {
	s.codecOnce.Do(func() {
		s.codec = []string{"-c:v", "mpeg4", "-q:v", "4"}
		list, err := exec.CommandContext(ctx, program, "-hide_banner", "-encoders").Output()
		if err == nil && strings.Contains(string(list), " libx264 ") {
			s.codec = []string{"-c:v", "libx264", "-preset", "veryfast", "-crf", "24"}
		}
	})
	return s.codec
}
