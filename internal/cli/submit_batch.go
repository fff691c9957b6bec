package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// What one call of BatchSubmitTasks takes: so many submissions, and bytes well under the service's bound.
const (
	batchItems = 1000
	batchBytes = 2 << 20
)

// submitBatch submits every line of a file and prints what became of each. It can be repeated: the lines carry their
// request ids.
func (c *Submit) submitBatch(ctx context.Context, con Console) error {
	requests, err := readSubmissions(c.Batch)
	if err != nil {
		return err
	}
	refused := 0
	err = c.call(func(client refractv1.TaskServiceClient) error {
		for _, batch := range batches(requests) {
			resp, err := client.BatchSubmitTasks(ctx, &refractv1.BatchSubmitTasksRequest{Requests: batch})
			if err != nil {
				return err
			}
			if len(resp.GetResults()) != len(batch) {
				return fmt.Errorf("the service answered %d of %d submissions", len(resp.GetResults()), len(batch))
			}
			for i, r := range resp.GetResults() {
				if r.GetStatus() != nil {
					refused++
				}
				if err := c.printResult(con.Out, batch[i], r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil && refused > 0 {
		err = fmt.Errorf("%d of %d submissions were refused; the file can be submitted again when they are mended", refused, len(requests))
	}
	return err
}

func (c *Submit) printResult(w io.Writer, req *refractv1.SubmitTaskRequest, r *refractv1.BatchSubmitTasksResult) error {
	if c.JSON {
		return printJSON(w, r)
	}
	outcome := "task " + r.GetTask().GetId()
	if st := r.GetStatus(); st != nil {
		outcome = "refused: " + st.GetMessage()
	}
	_, err := fmt.Fprintf(w, "%s  %s\n", OneLine(req.GetRequestId()), OneLine(outcome))
	return err
}

// readSubmissions reads a file of one submission a line, as JSON. Each must have its request id: a batch whose answer is
// lost could not be submitted again otherwise.
func readSubmissions(path string) ([]*refractv1.SubmitTaskRequest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read --batch: %w", err)
	}
	var requests []*refractv1.SubmitTaskRequest
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))) // Editors on Windows put it there.
	lines.Buffer(nil, batchBytes/2)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		req := &refractv1.SubmitTaskRequest{}
		if err := protojson.Unmarshal(lines.Bytes(), req); err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", n, path, err)
		}
		if req.GetRequestId() == "" {
			return nil, fmt.Errorf("line %d of %s has no requestId, without which it could not be submitted again", n, path)
		}
		requests = append(requests, req)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read --batch: %w", err)
	}
	if len(requests) == 0 {
		return nil, errors.New("--batch names a file without submissions")
	}
	return requests, nil
}

// batches cuts submissions into what one call takes.
func batches(requests []*refractv1.SubmitTaskRequest) (all [][]*refractv1.SubmitTaskRequest) {
	begin, size := 0, 0
	for i, req := range requests {
		n := proto.Size(req)
		if i-begin == batchItems || i > begin && size+n > batchBytes {
			all = append(all, requests[begin:i])
			begin, size = i, 0
		}
		size += n
	}
	return append(all, requests[begin:])
}
