package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

// checkpointPath and witnessedPath of the public listener.
const (
	checkpointPath = "/checkpoint"
	witnessedPath  = "/checkpoint/witnessed"
)

// GetCheckpoint gives a kiosk the newest checkpoint, and the proof from the one that it keeps.
func (s *routes) GetCheckpoint(ctx context.Context, r wire.GetCheckpointRequestObject) (wire.GetCheckpointResponseObject, error) {
	rq := requestOf(ctx)
	if r.Params.From < 0 {
		return refuse(rq, wire.CodeMalformed), nil
	}
	var out reply
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		_, err := admitted(tx, rq)
		return st.answer(&out, err)
	})
	if err != nil || out.status != 0 {
		return out, err
	}
	p, err := s.Tree.Newest(ctx, false, r.Params.From)
	if errors.Is(err, store.ErrNotFound) {
		return refusal(rq, cases.Refuse(wire.CodeNotFound)), nil
	}
	if err != nil {
		return nil, err
	}
	d := wire.CheckpointKeyDigest(p.Key)
	signature, err := ecdsa.SignASN1(rand.Reader, s.Signing, d[:])
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint key: %w", err)
	}
	return wire.GetCheckpoint200JSONResponse{Note: p.Note, Key: p.Key, Signature: signature, Proof: append([][]byte{}, p.Proof...)}, nil
}

func (r reply) VisitGetCheckpointResponse(w http.ResponseWriter) error { return r.write(w) }

// checkpoint is for everybody: auditors, witnesses, other trusts. With ?from= it comes with the proof from an older size, whose hashes
// tell nobody anything, in the form of a witness's (audit.Shown).
func (s *Server) checkpoint(witnessed bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var from int64
		asked := r.URL.Query().Get("from")
		if asked != "" {
			var err error
			if from, err = strconv.ParseInt(asked, 10, 64); err != nil || from < 0 {
				http.Error(w, "from is the size of the checkpoint that you have, a number.", http.StatusBadRequest)
				return
			}
		}
		p, err := s.Tree.Newest(r.Context(), witnessed, from)
		switch {
		case errors.Is(err, store.ErrNotFound):
			http.Error(w, "There is no such checkpoint yet.", http.StatusNotFound)
			return
		case err != nil:
			s.Log.Error("checkpoint", "err", err)
			http.Error(w, "Central failed; its log says why.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		body := p.Note
		if asked != "" {
			body = p.Shown(from).Bytes()
		}
		_, _ = w.Write(body) // an error is that of a connection that nobody reads any more
	}
}
