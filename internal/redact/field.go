package redact

import "bytes"

// Fields replaces the values of the JSON fields with these names by null, where they are numbers, true, false or strings: in
// objects, and in JSON that strings hold, however deep. Valid JSON stays valid.
func Fields(text []byte, names ...string) []byte {
	for _, name := range names {
		text = field(text, []byte(name))
	}
	return text
}

func field(text, name []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; ; {
		at := bytes.Index(text[i:], name)
		if at < 0 {
			break
		}
		at += i
		i = at + len(name)
		if begin, end := fieldValue(text, at, i); end > 0 {
			out = append(append(out, text[copied:begin]...), "null"...)
			i, copied = end, end
		}
	}
	if copied == 0 {
		return text
	}
	return append(out, text[copied:]...)
}

// fieldValue returns where the value of a field begins and ends whose name is text[from:to], or an end of 0. The quotation
// marks of JSON that a string holds have a run of backslashes before them, which is longer in each string within a string.
func fieldValue(text []byte, from, to int) (begin, end int) {
	if from == 0 || text[from-1] != '"' {
		return 0, 0
	}
	depth := backslashes(text, from-1)
	i := skipRun(text, to)
	if i-to != depth || i == len(text) || text[i] != '"' {
		return 0, 0
	}
	if i = skipBlanks(text, i+1); i == len(text) || text[i] != ':' {
		return 0, 0
	}
	begin = skipBlanks(text, i+1)
	rest := text[begin:]
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return begin, begin + len(word)
		}
	}
	if n := len(rest) - len(bytes.TrimLeft(rest, "+-.0123456789eE")); n > 0 {
		return begin, begin + n
	}
	return begin, stringEnd(text, begin, depth)
}

// backslashes counts the backslashes before an index.
func backslashes(text []byte, at int) int {
	return at - len(bytes.TrimRight(text[:at], `\`))
}

// skipRun returns the index after a run of backslashes.
func skipRun(text []byte, i int) int {
	for i < len(text) && text[i] == '\\' {
		i++
	}
	return i
}

// skipBlanks returns the index after white space, also where it is escaped.
func skipBlanks(text []byte, i int) int {
	for i < len(text) {
		next := skipRun(text, i)
		switch {
		case next == i && bytes.IndexByte([]byte(" \t\r\n"), text[i]) >= 0:
		case next > i && next < len(text) && bytes.IndexByte([]byte("trn"), text[next]) >= 0:
		default:
			return i
		}
		i = next + 1
	}
	return i
}

// stringEnd returns the end of a string whose quotation marks have depth backslashes, or 0 where none begins at i. A backslash in
// the string is written as 2*(depth+1) of them.
func stringEnd(text []byte, i, depth int) int {
	open := skipRun(text, i)
	if open-i != depth || open == len(text) || text[open] != '"' {
		return 0
	}
	for at := open + 1; at < len(text); at++ {
		if text[at] != '"' {
			continue
		}
		run := backslashes(text[open+1:], at-open-1)
		if run < depth {
			return 0 // The string around this one ends.
		}
		if (run-depth)%(2*(depth+1)) == 0 {
			return at + 1
		}
	}
	return 0
}
