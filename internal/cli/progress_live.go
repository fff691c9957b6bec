package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/refract-video/refract/client"
)

// redraw keeps the live line up to date until done.
func (p *progress) redraw() {
	defer close(p.ended)
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			p.mu.Lock()
			p.draw(now)
			p.mu.Unlock()
		}
	}
}

// draw draws state, time and bar. Downloads and uploads draw themselves, as bytes go by.
func (p *progress) draw(now time.Time) {
	if p.bytes {
		return
	}
	if p.state == 0 || client.Terminal(p.state) {
		p.clear()
		return
	}
	if p.bar == nil {
		p.bar = p.newBar(100)
	}
	p.bar.Describe(p.description(now))
	_ = p.bar.Set(p.percent(now))
}

// percent is the elapsed part of the typical duration while an attempt is under way, and never says that it
// is over.
func (p *progress) percent(now time.Time) int {
	if !working(p.state) || p.typical <= 0 {
		return 0
	}
	return int(min(99, max(0, now.Sub(p.since)*100/p.typical)))
}

func (p *progress) description(now time.Time) string {
	elapsed := max(0, now.Sub(p.since)).Truncate(time.Second)
	if working(p.state) && p.typical > 0 {
		return fmt.Sprintf("  %-10s %s of about %s ", stateName(p.state), elapsed, p.typical.Round(time.Second))
	}
	return fmt.Sprintf("  %-10s %s ", stateName(p.state), elapsed)
}

// downloading shows how much of a download is on disk.
func (p *progress) downloading(have, size int64) { p.transferring("  downloading", have, size) }

// uploading shows how much of an upload was sent.
func (p *progress) uploading(have, size int64) { p.transferring("  uploading", have, size) }

func (p *progress) transferring(what string, have, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live || size <= 0 || have > size {
		return
	}
	if !p.bytes {
		p.clear()
		p.bytes = true
		p.bar = p.newBar(size, progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription(what), progressbar.OptionThrottle(100*time.Millisecond))
	}
	_ = p.bar.Set64(have)
}

// transferred removes the bar of a download or an upload.
func (p *progress) transferred() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// clear removes the live line.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.bar, p.bytes = nil, false
}

func (p *progress) newBar(limit int64, options ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions64(limit, append([]progressbar.Option{
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetWidth(30),
	}, options...)...)
}
