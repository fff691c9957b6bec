package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine returns a report that says what this machine is, as far as it can be read.
func Machine() Report {
	r := Report{CPUs: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if name, err := procField("/proc/cpuinfo", "model name"); err == nil {
		r.CPU = name
	}
	if kib, err := procKiB("/proc/meminfo", "MemTotal"); err == nil {
		r.MemoryMiB = int(kib >> 10)
	}
	return r
}

// ResidentMiB returns how much memory a process has in use. It works on Linux only.
func ResidentMiB(pid int) (float64, error) {
	kib, err := procKiB(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	return float64(kib) / 1024, err
}

// PeakMiB returns the most memory that a process had in use, since it began or since ResetPeak. It works on Linux only.
func PeakMiB(pid int) (float64, error) {
	kib, err := procKiB(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
	return float64(kib) / 1024, err
}

// ResetPeak makes PeakMiB begin anew.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

func procKiB(file, field string) (int64, error) {
	value, err := procField(file, field)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
}

// procField returns the value of the first line of a file that begins with a field.
func procField(file, field string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == field {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", file, field)
}
