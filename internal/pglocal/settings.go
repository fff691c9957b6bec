package pglocal

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// settingName is stricter than PostgreSQL, which also takes capitals and '-' for '_': one spelling each, so that none of the
// reserved settings can be reached by another.
var settingName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$`)

// reserved are the settings on which this package's promises rest.
//
// Only 127.0.0.1 is listened on, with a password: the path of a unix socket may not exceed some hundred bytes, which data
// folders do, and not every file system can hold one.
var reserved = map[string]string{
	"listen_addresses":                  "127.0.0.1",
	"unix_socket_directories":           "",
	"logging_collector":                 "off",
	"log_destination":                   "stderr",
	"log_line_prefix":                   "",      // slog adds the time
	"log_error_verbosity":               "terse", // NOTE: DETAIL lines quote row values, which can be secrets
	"log_parameter_max_length_on_error": "0",     // NOTE: the same for statement parameters
}

// refused are settings that would lead the server away from its folder.
var refused = []string{"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file", "port"}

func checkSettings(settings map[string]string) error {
	for name := range settings {
		if !settingName.MatchString(name) {
			return fmt.Errorf("postgres setting %q: not a setting name", name)
		}
		if _, ok := reserved[name]; ok || slices.Contains(refused, name) {
			return fmt.Errorf("postgres setting %s: refract sets this itself", name)
		}
	}
	return nil
}

func serverArgs(data string, port int, settings map[string]string) []string {
	all := maps.Clone(reserved)
	maps.Copy(all, settings)
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}
