package media

import "encoding/binary"

// sniffBytes is how much of a file sniff needs: the size, type and major brand of its first box.
const sniffBytes = 12

// maxFileTypeBox is the largest first box that is believed. Real ones list a handful of brands.
const maxFileTypeBox = 4096

// sniff tells the content type of a video by its first bytes, and false when they do not begin an ISO
// base media file with moving pictures. The file type box comes first and holds size, "ftyp",
// major brand, minor version and compatible brands, each four bytes long (ISO/IEC 14496-12, 4.3). QuickTime files
// that are older than it begin with one of their other boxes.
func sniff(head []byte) (contentType string, ok bool) {
	if len(head) < sniffBytes {
		return "", false
	}
	switch string(head[4:8]) {
	case "ftyp":
	case "moov", "mdat", "wide", "free", "skip", "pnot":
		return "video/quicktime", true
	default:
		return "", false
	}
	if size := binary.BigEndian.Uint32(head); size < 16 || size > maxFileTypeBox {
		return "", false
	}
	switch string(head[8:12]) {
	case "qt  ":
		return "video/quicktime", true
	case "avif", "heic", "heix", "mif1", "M4A ", "M4B ":
		return "", false // Still pictures and sound come in the same container.
	default:
		return "video/mp4", true
	}
}
