package sim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Vendors sign what a model thought and refuse it when it comes back
// changed. A seal is data and its code of authentication (HMAC-SHA256 under
// the Server's seed), so that it outlives the Server.

const macSize = 16 // bytes of the code

// seal returns data in a seal of that maker.
func (s *Server) seal(maker string, data []byte) []byte {
	return append(bytes.Clone(data), s.mac(maker, data)...)
}

// unseal returns the data of a seal; false if the maker never made it.
func (s *Server) unseal(maker string, seal []byte) ([]byte, bool) {
	n := len(seal) - macSize
	if n < 0 || !hmac.Equal(s.mac(maker, seal[:n]), seal[n:]) {
		return nil, false
	}
	return seal[:n], true
}

func (s *Server) mac(maker string, data []byte) []byte {
	key := binary.LittleEndian.AppendUint64([]byte("sluice sim "), s.conf.Seed)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(maker + "\x00"))
	h.Write(data)
	return h.Sum(nil)[:macSize]
}

// digest is what a seal says of a text.
func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}
