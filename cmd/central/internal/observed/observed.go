// Package observed is what central's servers of HTTP note of an answer, for their logs and for a handler that failed.
package observed

import (
	"fmt"
	"net/http"
	"runtime"
)

// Writer notes the status. First is called, if it is there, before the headers leave.
type Writer struct {
	http.ResponseWriter
	Status int // 0: nothing has left
	First  func(http.Header)
}

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
		if w.First != nil {
			w.First(w.Header())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(b []byte) (int, error) {
	if w.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Panic is what may be logged of one: its value can be anything, but that of the runtime's own holds no secret.
func Panic(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}
