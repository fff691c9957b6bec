//go:build browser

package console_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// errNoChromium says how to get what the tests of this package need.
var errNoChromium = errors.New("the tests need Chromium: install it, on Debian with \"apt-get install chromium\", or name its program in REFRACT_CHROMIUM")

// chromium is the browser of all tests. It starts with the first test that needs it, and each test has cookies, storage and cache of its own in it.
var chromium struct {
	once sync.Once
	ctx  context.Context //nolint:containedctx // It stands for the running browser.
	stop func()
	err  error
}

func init() { atEnd = append(atEnd, stopChromium) }

// startedChromium returns the context of the running browser.
func startedChromium(t *testing.T) context.Context {
	t.Helper()
	chromium.once.Do(startChromium)
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	return chromium.ctx
}

func startChromium() {
	program, err := findChromium()
	if err != nil {
		chromium.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"), chromedp.Env("TZ=UTC", "LANG=C.UTF-8"), chromedp.WSURLReadTimeout(e2etest.Hung),
	)
	if os.Geteuid() == 0 { // The sandbox refuses root.
		options = append(options, chromedp.NoSandbox)
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if _, err := chromedp.CallBrowser(ctx, browser.GetVersion, cdp.Empty{}); err != nil {
		cancel()
		release()
		chromium.err = err
		return
	}
	chromium.ctx, chromium.stop = ctx, func() { cancel(); release() }
}

func stopChromium() {
	if chromium.stop != nil {
		chromium.stop()
	}
}

// findChromium returns the program of the browser.
func findChromium() (string, error) {
	if program := os.Getenv("REFRACT_CHROMIUM"); program != "" {
		return program, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errNoChromium
}
