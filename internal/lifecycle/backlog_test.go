//go:build !soak

package lifecycle_test

// backlogTasks is how many tasks of one tenant wait before those of another.
const backlogTasks = 10_000
