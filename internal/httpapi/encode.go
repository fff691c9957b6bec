package httpapi

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON returns a message as REST answers with it.
func JSON(m proto.Message) ([]byte, error) { return encode(m) }

// encode returns a message as JSON on one line. It writes zero values, such as the index of the first output and an empty
// list of tasks.
func encode(m proto.Message) ([]byte, error) {
	size := proto.Size(m)
	text := make([]byte, 0, size+size/4+512) // Enough for most messages, so that the text is not copied as it grows.
	return compact(protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(text, m))
}

// compact removes white space, which protojson varies from build to build, in place.
//
// It skips strings by their quotes. json.Compact reads every byte, which took as long as protojson itself.
func compact(text []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	line := text[:0]
	for len(text) > 0 {
		outside := bytes.IndexByte(text, '"')
		if outside < 0 {
			outside = len(text)
		}
		for _, c := range text[:outside] {
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				line = append(line, c)
			}
		}
		end := outside + stringSize(text[outside:])
		line = append(line, text[outside:end]...)
		text = text[end:]
	}
	return line, nil
}

// stringSize returns the size, with both quotes, of the JSON string that text begins with, or of all text where the string
// has no end.
func stringSize(text []byte) int {
	for end := 1; end < len(text); end++ {
		quote := bytes.IndexByte(text[end:], '"')
		if quote < 0 {
			break
		}
		end += quote
		before := bytes.TrimRight(text[1:end], `\`)
		if escapes := end - 1 - len(before); escapes%2 == 0 {
			return end + 1
		}
	}
	return len(text)
}
