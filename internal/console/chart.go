package console

import (
	"fmt"
	"math"
	"strconv"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// chart is a picture of rectangles, which a page shows as SVG. Text stands next to it, since the picture is stretched to the width of the
// page. Its title and description are for those who don't see it.
type chart struct {
	ID          string
	Title       string
	Description string
	ViewBox     string
	Class       string
	Shapes      []shape
}

// shape is a rectangle of a chart. Its class gives it colour and filling.
type shape struct{ Class, X, Y, Width, Height string }

// The coordinates of charts.
const (
	columnHeight = 100
	columnWidth  = 10
	columnGap    = 2
	barWidth     = 1000
	barHeight    = 20
	// visible is the least size of what is not 0.
	visible = 3
)

// columnChart returns a chart with a column for each value. Its top is at the value top.
func columnChart(id, title, class string, values []int32, top int32) chart {
	c := chart{ID: id, Title: title, Class: "columns", ViewBox: viewBox(max(len(values), 1)*columnWidth, columnHeight)}
	total, highest := int64(0), int32(0)
	for i, n := range values {
		if n <= 0 {
			continue
		}
		total, highest = total+int64(n), max(highest, n)
		height := max(columnHeight*share(float64(n), float64(top)), visible)
		c.Shapes = append(c.Shapes, shape{
			Class: class, X: strconv.Itoa(i*columnWidth + columnGap/2), Y: coordinate(columnHeight - height),
			Width: strconv.Itoa(columnWidth - columnGap), Height: coordinate(height),
		})
	}
	c.Description = fmt.Sprintf("%s in total, at most %s in one of %d intervals.", countText(total), countText(int64(highest)), len(values))
	return c
}

// barPart is a part of a horizontal bar, which begins at the left end like all others.
type barPart struct {
	Class string
	Value float64
}

// barChart returns a horizontal bar with parts above one another, the first at the back. The right end is at the value end.
func barChart(id, title, description string, end float64, parts ...barPart) chart {
	c := chart{ID: id, Title: title, Description: description, Class: "bar-chart", ViewBox: viewBox(barWidth, barHeight)}
	for i, p := range parts {
		if p.Value <= 0 || math.IsNaN(p.Value) {
			continue
		}
		inset := i * barHeight / 4 // A part in front is thinner, so that the one at the back is seen.
		c.Shapes = append(c.Shapes, shape{
			Class: p.Class, X: "0", Y: strconv.Itoa(inset), Width: coordinate(max(barWidth*share(p.Value, end), visible)), Height: strconv.Itoa(barHeight - 2*inset),
		})
	}
	return c
}

// share returns which part of top a value is, from 0 to 1.
func share(value, top float64) float64 {
	if !(top > 0) || math.IsInf(top, 0) || math.IsNaN(value) {
		return 0
	}
	return min(max(value/top, 0), 1)
}

func viewBox(width, height int) string { return fmt.Sprintf("0 0 %d %d", width, height) }

func coordinate(n float64) string {
	return strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64)
}

// countText returns a number with commas between thousands.
func countText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// throughputChart is the number of tasks that were created and that ended, by interval.
type throughputChart struct {
	Series    []series
	Intervals []*refractv1.TaskInterval
	Length    string // Of an interval.
}

// series is one kind of event.
type series struct {
	Name  string
	Total string
	Peak  string // The highest column.
	Chart chart
}

// newThroughputChart returns a chart of the intervals for each kind of event.
func newThroughputChart(s *refractv1.TaskStatistics) throughputChart {
	intervals := s.GetIntervals()
	t := throughputChart{Intervals: intervals}
	if len(intervals) > 0 {
		t.Length = formatDuration(s.GetToTime().AsTime().Sub(s.GetFromTime().AsTime()) / time.Duration(len(intervals)))
	}
	kinds := []struct {
		name, class string
		of          func(*refractv1.TaskInterval) int32
	}{
		{"Created", "created", (*refractv1.TaskInterval).GetCreated},
		{"Succeeded", "succeeded", (*refractv1.TaskInterval).GetSucceeded},
		{"Failed", "failed", (*refractv1.TaskInterval).GetFailed},
		{"Canceled", "canceled", (*refractv1.TaskInterval).GetCanceled},
	}
	for _, k := range kinds {
		values, total, peak := make([]int32, len(intervals)), int64(0), int32(0)
		for i, interval := range intervals {
			values[i] = k.of(interval)
			total, peak = total+int64(values[i]), max(peak, values[i])
		}
		picture := columnChart("throughput-"+k.class, k.name+" tasks", k.class, values, peak) // There are far fewer failures than tasks.
		t.Series = append(t.Series, series{k.name, countText(total), countText(int64(peak)), picture})
	}
	return t
}

// barRow is a row of a chart of horizontal bars.
type barRow struct {
	Label  string
	Values []string // As the table has them.
	Chart  chart
}

// newStateTimeRows returns how long tasks spent in each state.
func newStateTimeRows(times []*refractv1.TaskStateTime) []barRow {
	longest := time.Duration(0)
	for _, t := range times {
		longest = max(longest, t.GetPercentile_95().AsDuration(), t.GetMedian().AsDuration())
	}
	var rows []barRow
	for _, t := range times {
		median, most := t.GetMedian().AsDuration(), t.GetPercentile_95().AsDuration()
		name := stateName(t.GetState())
		values := []string{formatDuration(median), formatDuration(most), countText(int64(t.GetTasks()))}
		rows = append(rows, barRow{name, values, barChart("state-time-"+name, "Time in "+name,
			fmt.Sprintf("Half of the tasks took at most %s, and 95 %% at most %s.", values[0], values[1]),
			longest.Seconds(), barPart{"most", most.Seconds()}, barPart{"median", median.Seconds()})})
	}
	return rows
}

// newFailureRows returns how often tasks failed for which reason.
func newFailureRows(failures []*refractv1.FailureCount) []barRow {
	most := int32(0)
	for _, f := range failures {
		most = max(most, f.GetTasks())
	}
	var rows []barRow
	for _, f := range failures {
		name, count := reasonText(f.GetReason()), countText(int64(f.GetTasks()))
		rows = append(rows, barRow{name, []string{count}, barChart("failure-"+strconv.Itoa(int(f.GetReason())), name,
			count+" tasks.", float64(most), barPart{"failed", float64(f.GetTasks())})})
	}
	return rows
}
