package media

import (
	"bytes"
	"encoding/binary"
)

// sniffBytes is how much of a file sniff needs: the size, type and major brand of its first box.
const sniffBytes = 12

// maxFileTypeBox is the largest first box that is believed. Real ones list a handful of brands.
const maxFileTypeBox = 4096

// sniff returns the content type of an ISO base media file by its first bytes, and false when they do not begin one. Sound
// and photos come in the same container, whatever its brand says: only its tracks show whether it is a video. The file type
// box comes first and holds size, "ftyp", major brand, minor version and compatible brands, each four bytes long (ISO/IEC
// 14496-12, 4.3). QuickTime files that are older than it begin with one of their other boxes.
func sniff(head []byte) (contentType string, ok bool) {
	if len(head) < sniffBytes {
		return "", false
	}
	switch string(head[4:8]) {
	case "ftyp":
	case "moov", "mdat", "wide", "free", "skip", "pnot":
		return quickTime, true
	default:
		return "", false
	}
	if size := binary.BigEndian.Uint32(head); size < 16 || size > maxFileTypeBox {
		return "", false
	}
	if string(head[8:12]) == "qt  " {
		return quickTime, true
	}
	return "video/mp4", true
}

const (
	quickTime = "video/quicktime"
	matroska  = "video/x-matroska" // WebM too.
	avi       = "video/x-msvideo"
)

// claimsNoVideo reports whether the major brand of a file is one of photos or of sound.
func claimsNoVideo(head []byte) bool {
	if len(head) < sniffBytes || string(head[4:8]) != "ftyp" {
		return false
	}
	switch string(head[8:12]) {
	case "avif", "avis", "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "M4A ", "M4B ", "M4P ":
		return true
	default:
		return false
	}
}

func isMatroska(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1a, 0x45, 0xdf, 0xa3}) }

func isAVI(head []byte) bool {
	return len(head) >= sniffBytes && string(head[:4]) == "RIFF" && string(head[8:12]) == "AVI "
}
