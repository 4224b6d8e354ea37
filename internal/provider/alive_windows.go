package provider

import "net"

// alive cannot look without reading here; a connection that the vendor has
// closed fails its next request, which is then tried elsewhere.
func alive(net.Conn) bool { return true }
