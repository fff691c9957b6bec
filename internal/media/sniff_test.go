package media

import "testing"

func TestSniff_KnowsVideos(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, head, want string // An empty want means that it is no video.
	}{
		{"MP4", "\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "video/mp4"},
		{"MP4, other brand", "\x00\x00\x00\x1cftypmp42", "video/mp4"},
		{"QuickTime", "\x00\x00\x00\x14ftypqt  ", "video/quicktime"},
		{"QuickTime of old", "\x00\x00\x00\x08wide\x00\x00\x00\x00", "video/quicktime"},
		{"smallest box", "\x00\x00\x00\x10ftypisom", "video/mp4"},
		{"box too small", "\x00\x00\x00\x0fftypisom", ""},
		{"box too large", "\x00\x00\x10\x01ftypisom", ""},
		{"box to the end of the file", "\x00\x00\x00\x00ftypisom", ""},
		{"brand of pictures", "\x00\x00\x00\x20ftypavif", "video/mp4"}, // Its tracks decide.
		{"brand of sound", "\x00\x00\x00\x20ftypM4A ", "video/mp4"},
		{"cut short", "\x00\x00\x00\x20ftypiso", ""},
		{"web page", "<!DOCTYPE html><html>", ""},
		{"Matroska", "\x1a\x45\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1f", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := sniff([]byte(tt.head)); got != tt.want || ok != (tt.want != "") {
				t.Errorf("sniff(%q) = %q, %t, want %q", tt.head, got, ok, tt.want)
			}
		})
	}
}
