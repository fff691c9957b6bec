package media_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSignedURL_IsThereWhereTheBucketSigns(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := url.Values{"base_url": {"https://files.example/get"}, "secret_key_path": {key}}
	bucket := openBucketAt(t, "file://"+t.TempDir()+"?"+q.Encode())
	link, err := bucket.SignedURL(t.Context(), "sources/a", time.Hour)
	if err != nil || !strings.HasPrefix(link, "https://files.example/get?") || !strings.Contains(link, "signature=") {
		t.Errorf("got %q, %v, want a signed link", link, err)
	}
}

func TestSignedURL_IsNotThereForPlainFiles(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"mem://", "file://" + t.TempDir()} {
		if _, err := openBucketAt(t, at).SignedURL(t.Context(), "a", time.Hour); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", at, err)
		}
	}
}
