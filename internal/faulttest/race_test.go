//go:build race

package faulttest_test

func init() { raceFlag = []string{"-race"} }
