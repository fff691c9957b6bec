package wire

import (
	"context"
	"errors"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// CallObject makes a call to an API without an envelope: a 2xx whose body is a JSON object is a success, and
// everything else means what the table says of its HTTP status. The object is returned with the error too,
// where there is one.
func (c *Client) CallObject(ctx context.Context, call Call, codes Table) (Object, *provider.Error) {
	a, perr := c.Do(ctx, call)
	if perr != nil {
		return nil, perr
	}
	return c.ReadObject(call, codes, a)
}

// ReadObject judges an answer as CallObject does.
func (c *Client) ReadObject(call Call, codes Table, a Answer) (Object, *provider.Error) {
	o, isObject := DecodeObject(a.Body)
	if isObject && a.Status >= 200 && a.Status <= 299 {
		return o, nil
	}
	message := errorWords(o)
	r := Refusal{Answer: a, Code: a.Status, Message: message, Foreign: message == ""}
	if message == "" {
		r.Message = string(a.Body)
	}
	if !isObject && r.Err == nil {
		r.Err = errors.New("answer is not a JSON object")
	}
	return o, c.Judge(call, codes, r)
}

// Created returns the receipt of the object that a submission created, as CallObject returned it. An answer that
// says something was created and does not name it is Ambiguous.
func Created(o Object, perr *provider.Error) (provider.Receipt, error) {
	id := o.ID("id")
	switch {
	case perr != nil && id != "" && o.Text("state") != "":
		// NOTE: a refusal that holds an object with a state proves nothing about money.
		perr.Class, perr.Pause, perr.Input = provider.Ambiguous, "", false
		perr.Err = errors.New("error answer names a task")
		return provider.Receipt{}, perr
	case perr != nil:
		return provider.Receipt{}, perr
	case !IsPathTaskID(id):
		return provider.Receipt{}, &provider.Error{
			Class: provider.Ambiguous, Op: string(OpSubmit), Err: errors.New("accepted without a usable id"),
		}
	}
	return provider.Receipt{TaskID: id}, nil
}

// Task is what a check asks about.
type Task struct {
	ID    string
	Age   time.Duration // How long ago it was submitted.
	Grace time.Duration // How long it may be invisible after that.
}

// ReadTask turns the object that a check got, as CallObject returned it, into a status. Read returns the status that the
// object has, and false where its state is unknown. That is Unavailable, and so is an object about another task. One
// that is not found within its grace is Running.
func (c *Client) ReadTask(
	o Object, perr *provider.Error, asked Task, read func(Object) (provider.Status, bool), secrets ...string,
) (provider.Status, *provider.Error) {
	switch {
	case perr != nil && perr.Class == provider.NotFound && asked.Age < asked.Grace:
		return provider.Status{Phase: provider.Running}, nil
	case perr != nil:
		return provider.Status{}, perr
	}
	if id := o.ID("id"); id != "" && id != asked.ID {
		return provider.Status{}, unreadable("answer is about another generation", "")
	}
	status, ok := read(o)
	if !ok {
		return provider.Status{}, unreadable("unknown state", c.Redact("state "+Spelled(o["state"]), secrets...))
	}
	return status, nil
}

func unreadable(why, message string) *provider.Error {
	return &provider.Error{Class: provider.Unavailable, Op: string(OpCheck), Message: message, Err: errors.New(why)}
}

// errorWords returns what an error body says under the keys that APIs use.
func errorWords(o Object) string {
	for _, key := range []string{"detail", "message", "error"} {
		if s := o.AnyText(key); s != "" {
			return s
		}
	}
	return ""
}
