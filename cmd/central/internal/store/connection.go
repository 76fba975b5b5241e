package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// connection is one to SQLite's file. It is the driver's, without the pool of database/sql and its locks around every statement
// and row, which cost about as much as what SQLite itself does, and keeps statements prepared. It belongs to one goroutine at a
// time: over one the process writes, and that is of whoever has the turn; over others it reads.
type connection struct {
	conn  driver.Conn
	known map[string]driver.Stmt
}

// maxKnown bounds how many statements a connection keeps: there are fewer, but for those that name any number of things.
const maxKnown = 512

func connect(d driver.Driver, name string) (*connection, error) {
	conn, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, known: map[string]driver.Stmt{}}, nil
}

// close ends the connection, and takes back what is not committed.
func (w *connection) close() error { return errors.Join(w.forget(), w.conn.Close()) }

// forget ends what was prepared.
func (w *connection) forget() (err error) {
	for _, st := range w.known {
		err = errors.Join(err, st.Close())
	}
	clear(w.known)
	return err
}

// statement is a prepared one.
func (w *connection) statement(query string) (driver.Stmt, error) {
	if st := w.known[query]; st != nil {
		return st, nil
	}
	st, err := w.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	if len(w.known) == maxKnown {
		if err := w.forget(); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	w.known[query] = st
	return st, nil
}

// exec implements session. There is one writer, so that keys lock nothing. A statement that is interrupted takes the whole
// transaction along (sqlite.org/c3ref/interrupt.html), so that none is: Tx looks at its context between them.
func (w *connection) exec(_ keys, query string, args ...any) error {
	st, err := w.statement(query)
	if err != nil {
		return err
	}
	values, err := bound(args)
	if err != nil {
		return err
	}
	_, err = st.(driver.StmtExecContext).ExecContext(context.Background(), values)
	return err
}

// query implements session.
func (w *connection) query(_ keys, query string, args []any, each func(scan func(...any) error) error) error {
	return w.ask(context.Background(), query, args, each)
}

// ask is query that ends with ctx.
func (w *connection) ask(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	st, err := w.statement(query)
	if err != nil {
		return err
	}
	values, err := bound(args)
	if err != nil {
		return err
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(ctx, values)
	if err != nil {
		return err
	}
	return errors.Join(eachRow(rows, each), rows.Close())
}

func eachRow(rows driver.Rows, each func(scan func(...any) error) error) error {
	row := make([]driver.Value, len(rows.Columns()))
	scan := func(into ...any) error {
		if len(into) != len(row) {
			return fmt.Errorf("%d columns for %d values", len(row), len(into))
		}
		for i, v := range row {
			if err := assign(into[i], v); err != nil {
				return fmt.Errorf("column %s: %w", rows.Columns()[i], err)
			}
		}
		return nil
	}
	for {
		switch err := rows.Next(row); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := each(scan); err != nil {
			return err
		}
	}
}

// bound are a statement's arguments as the driver takes them.
func bound(args []any) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return values, nil
}

// assign keeps a value of the driver's, which are SQLite's storage classes, as sql.Rows.Scan does.
func assign(into any, v driver.Value) error {
	switch into := into.(type) {
	case sql.Scanner:
		return into.Scan(v)
	case *any:
		*into = v
		return nil
	case *[]byte:
		switch v := v.(type) {
		case nil:
			*into = nil
			return nil
		case []byte:
			*into = v
			return nil
		}
	default:
		to := reflect.ValueOf(into).Elem()
		switch v := v.(type) {
		case string:
			if to.Kind() == reflect.String {
				to.SetString(v)
				return nil
			}
		case int64:
			if to.CanInt() && !to.OverflowInt(v) {
				to.SetInt(v)
				return nil
			}
		}
	}
	return fmt.Errorf("%T is no place for %T", into, v)
}
