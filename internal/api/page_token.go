package api

import (
	"encoding/base64"
	"strconv"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// defaultPage is the size of a page where the request names none.
const defaultPage = 50

func pageSize(n int32) int {
	if n == 0 {
		return defaultPage
	}
	return int(n)
}

// maxAnswer bounds an answer with many items in bytes, so that it stays under the 4 MiB that gRPC clients take by default.
const maxAnswer = 4<<20 - 64<<10

// listBytes is how many bytes of prompts are read for a page. A page holds fewer, so what is not read is on the next one.
//
// NOTE: it is more than maxAnswer since the database counts in its own encoding, which may take a third more than UTF-8.
const listBytes = maxAnswer * 3 / 2

// itemSize is what an item takes in an answer, with its tag and length.
func itemSize(m proto.Message) int {
	return protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(m))
}

// escapes returns how many bytes more a message takes in JSON at most for characters that are escaped there: a control character
// takes six bytes for one. It looks at the encoded message, whose tags and lengths may count as such.
func escapes(m proto.Message) (n int) {
	wire, err := proto.Marshal(m)
	if err != nil {
		return 0 // The answer can't be encoded either.
	}
	for _, c := range wire {
		n += int(escaped[c])
	}
	// A number takes 11 bytes encoded, and up to 25 in JSON.
	switch m := m.(type) {
	case interface{ GetParameters() *structpb.Struct }:
		n += 2 * proto.Size(m.GetParameters())
	case *refractv1.AuditEvent:
		n += 2 * (proto.Size(m.GetBefore()) + proto.Size(m.GetAfter()))
	case *refractv1.Model:
		for _, o := range m.GetOfferings() {
			n += 2 * proto.Size(o.GetParametersSchema())
		}
	}
	return n
}

// escaped has how many bytes more a byte takes in JSON.
var escaped = func() (more [256]uint8) {
	for c := range ' ' {
		more[c] = uint8(len(`\u0000`) - 1)
	}
	for _, c := range "\b\f\n\r\t\"\\" {
		more[c] = uint8(len(`\n`) - 1)
	}
	return more
}()

// fill converts items to messages until a page is full: of its number of items, or of what an answer may hold, in either
// encoding. It returns whether there are more. A page has one item at least.
func fill[T any, M proto.Message](items []T, size int, convert func(*T) M) (page []M, more bool) {
	total := 0
	for i := range items {
		if i == size {
			return page, true
		}
		m := convert(&items[i])
		if total += itemSize(m) + escapes(m); total > maxAnswer && i > 0 {
			return page, true
		}
		page = append(page, m)
	}
	return page, false
}

// errPageToken answers a page token that we have not made.
func errPageToken() error {
	return &lifecycle.FieldError{Field: "page_token", Message: "is not a next_page_token of this method"}
}

// A page token of ListTasks is the id of the last task of the page before.
func taskPageToken(last task.ID) string {
	id, err := uuid.Parse(string(last))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func parseTaskPageToken(token string) (task.ID, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", errPageToken()
	}
	id, err := uuid.FromBytes(raw)
	if err != nil {
		return "", errPageToken()
	}
	last := task.ID(id.String())
	if taskPageToken(last) != token { // Base64 knows several spellings, and we one.
		return "", errPageToken()
	}
	return last, nil
}

// A page token of ListTaskEvents is the revision of the last event of the page before.
func eventPageToken(last int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last, 10)))
}

func parseEventPageToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, errPageToken()
	}
	revision, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || revision < 0 || eventPageToken(revision) != token {
		return 0, errPageToken()
	}
	return revision, nil
}
