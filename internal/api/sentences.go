package api

import (
	"buf.build/go/protovalidate"
)

// patterns says in words what the patterns of the contract mean.
var patterns = map[string]string{
	`^[!-~]*$`:                     "must consist of visible ASCII characters: no spaces, no control characters, no accents",
	`^[^\x00]*$`:                   "must not contain the character NUL",
	`^[a-z0-9][a-z0-9._/-]{0,62}$`: "must be 1 to 63 lower-case letters, digits and the characters . _ / -, beginning with a letter or digit",
	`^\PC*$`:                       "must consist of printable characters: no control characters, no line breaks",
	`^[a-z_.]*$`:                   "must consist of lower-case letters, underscores and dots",
	`^[a-z0-9-]*$`:                 "must consist of lower-case letters, digits and hyphens",
	`^[1-9][0-9]{0,17}$`:           "must be a number, as in the answers of this service",
	`^([0-9a-fA-F]{64})?$`:         "must be a SHA-256 in hexadecimal: 64 digits",
}

// sentence returns what a violation says, in words.
func sentence(v *protovalidate.Violation) string {
	if v.Proto.GetRuleId() == "string.pattern" {
		if said, ok := patterns[v.RuleValue.String()]; ok {
			return said
		}
	}
	return v.Proto.GetMessage()
}
