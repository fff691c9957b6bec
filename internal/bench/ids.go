package bench

import "fmt"

// TaskID is the id of the nth prepared task.
func TaskID(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }

// AttemptID is the id of its attempt.
func AttemptID(n int) string { return fmt.Sprintf("00000000-0000-7000-9000-%012d", n) }
