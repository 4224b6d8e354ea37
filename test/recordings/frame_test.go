package recordings

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
)

// unframe reads AWS' event stream encoding: total length, length of the
// headers, their CRC, headers (name, type 7, value), payload, CRC of all. Events
// of InvokeModelWithResponseStream hold another event in base64.
func unframe(b []byte) (all []piece, err error) {
	for len(b) > 0 {
		if len(b) < 16 {
			return nil, errors.New("frames: cut in the prelude")
		}
		n, h := int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
		if n < 16 || n > len(b) || 12+h > n-4 {
			return nil, errors.New("frames: lengths do not fit")
		}
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) || crc32.ChecksumIEEE(b[:n-4]) != binary.BigEndian.Uint32(b[n-4:]) {
			return nil, errors.New("frames: a checksum does not fit")
		}
		p := piece{data: b[12+h : n-4]}
		for at := b[12 : 12+h]; len(at) > 0; {
			k := int(at[0])
			name := string(at[1 : 1+k])
			if at = at[1+k:]; at[0] != 7 {
				return nil, errors.New("frames: a header of another type")
			}
			size := int(binary.BigEndian.Uint16(at[1:]))
			value := string(at[3 : 3+size])
			at = at[3+size:]
			if name == ":event-type" || name == ":exception-type" {
				p.name = value
			}
		}
		var inner struct{ Bytes string }
		if p.name == "chunk" && json.Unmarshal(p.data, &inner) == nil {
			if p.data, err = base64.StdEncoding.DecodeString(inner.Bytes); err != nil {
				return nil, err
			}
			var kind struct{ Type string }
			_ = json.Unmarshal(p.data, &kind)
			p.name = kind.Type
		}
		all = append(all, p)
		b = b[n:]
	}
	return all, nil
}

// frame is the inverse of unframe.
func frame(dst []byte, name string, data []byte) []byte {
	kind := ":event-type"
	var h []byte
	for _, kv := range [][2]string{{kind, name}, {":content-type", "application/json"}, {":message-type", "event"}} {
		h = append(append(append(h, byte(len(kv[0]))), kv[0]...), 7)
		h = append(binary.BigEndian.AppendUint16(h, uint16(len(kv[1]))), kv[1]...)
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(16+len(h)+len(data)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(h)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
	dst = append(append(dst, h...), data...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}
