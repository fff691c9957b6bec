//go:build race

package program

func init() { raceFlag = []string{"-race"} }
