package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/elimity-com/scim"
	"github.com/scim2/filter-parser/v2"
)

// Entra ID sends forms that RFC 7644 does not have: "active" as the text "False", a manager as text, keys with dots and the
// extension's URN in a replace without a path ("Known issues with SCIM 2.0 protocol compliance", learn.microsoft.com). What
// stands here makes of them the forms of the RFC, one operation an attribute, and leaves out what central does not keep.

// kept are the attributes that central keeps, in lower case.
var kept = []string{
	"username", "externalid", "displayname", "name", "active", "preferredlanguage", "emails", "phonenumbers", "employeenumber", "organization", "department",
}

// operation of a PATCH (RFC 7644 §3.5.2).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path,omitempty"`
	Value any    `json:"value,omitempty"`
}

// plainPatch makes a PATCH plain. left is false if nothing is left of it.
func plainPatch(body []byte) (plain []byte, left bool, err error) {
	var in struct {
		Schemas    []string    `json:"schemas"`
		Operations []operation `json:"Operations"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, false, fmt.Errorf("patch: %w", err)
	}
	if len(in.Operations) == 0 {
		return body, true, nil // the library says what is wrong
	}
	var out []operation
	for _, o := range in.Operations {
		if o.Op = strings.ToLower(o.Op); o.Path != "" || o.Op == "remove" {
			out = append(out, o)
			continue
		}
		values, ok := o.Value.(map[string]any)
		if !ok {
			return nil, false, errors.New("patch: an operation without a path has no attributes")
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			out = append(out, spread(o.Op, key, values[key])...)
		}
	}
	in.Operations = in.Operations[:0]
	for _, o := range out {
		name := attributeOf(o.Path)
		if !slices.Contains(kept, name) && (o.Path != "" || o.Op != "remove") { // a remove without a path is an error (§3.5.2.2)
			continue
		}
		if name == "active" {
			o.Value = truth(o.Value)
		}
		if o.Value == nil && o.Op != "remove" {
			o.Op = "remove" // RFC 7644 §3.5.2.3 has no null; clients who send it mean that there is none
		}
		in.Operations = append(in.Operations, o)
	}
	if len(in.Operations) == 0 {
		return nil, false, nil
	}
	plain, err = json.Marshal(in)
	return plain, true, err
}

// spread makes one operation for each attribute of a value without a path.
func spread(op, key string, value any) []operation {
	object, ok := value.(map[string]any)
	prefix := key + "."
	if strings.EqualFold(key, enterpriseSchema.ID) || strings.EqualFold(key, userSchema.ID) {
		prefix = key + ":"
	}
	if !ok {
		return []operation{{op, key, value}}
	}
	var list []operation
	for _, sub := range slices.Sorted(maps.Keys(object)) {
		list = append(list, operation{op, prefix + sub, object[sub]})
	}
	return list
}

// attributeOf is the attribute that a path is about, in lower case, without the schema before it and what stands behind it.
func attributeOf(path string) string {
	path = strings.ToLower(path)
	for _, id := range []string{enterpriseSchema.ID, userSchema.ID} {
		path = strings.TrimPrefix(path, strings.ToLower(id)+":")
	}
	if end := strings.IndexAny(path, ".["); end >= 0 {
		path = path[:end]
	}
	return path
}

// truth takes "True" and "False" as Entra ID writes them.
func truth(v any) any {
	switch text, _ := v.(string); strings.ToLower(text) {
	case "true":
		return true
	case "false":
		return false
	}
	return v
}

// plainUser makes the body of a POST or PUT plain.
func plainUser(body []byte) ([]byte, error) {
	var user map[string]any
	if err := json.Unmarshal(body, &user); err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	for key, value := range user {
		switch {
		case strings.EqualFold(key, "active"):
			user[key] = truth(value)
		case strings.EqualFold(key, enterpriseSchema.ID) && key != enterpriseSchema.ID:
			delete(user, key)
			user[enterpriseSchema.ID] = value
		}
	}
	return json.Marshal(user)
}

// apply changes a user's attributes as a plain operation says.
func apply(attributes scim.ResourceAttributes, o scim.PatchOperation) error {
	if o.Path == nil {
		return errors.New("the operation has no path")
	}
	name, into := o.Path.AttributePath.AttributeName, map[string]any(attributes)
	sub := o.Path.AttributePath.SubAttributeName()
	if sub == "" {
		sub = o.Path.SubAttributeName()
	}
	if strings.EqualFold(o.Path.AttributePath.URI(), enterpriseSchema.ID) {
		into = child(into, enterpriseSchema.ID)
	}
	switch strings.ToLower(name) {
	case "emails":
		return applyContact(into, "emails", workEmail, sub, o)
	case "phonenumbers":
		return applyContact(into, "phoneNumbers", mobilePhone, sub, o)
	case "name":
		if sub == "" {
			values, _ := o.Value.(map[string]any)
			if o.Op != scim.PatchOperationAdd {
				delete(into, "name")
			}
			for key, value := range values {
				set(child(into, "name"), key, value, o.Op)
			}
			return nil
		}
		into, name = child(into, "name"), sub
	}
	set(into, name, o.Value, o.Op)
	return nil
}

// set puts a value under the name as the attributes have it.
func set(into map[string]any, name string, value any, op string) {
	for key := range into {
		if strings.EqualFold(key, name) {
			delete(into, key)
		}
	}
	if op != scim.PatchOperationRemove {
		into[canonical(name)] = value
	}
}

func canonical(name string) string {
	for _, n := range []string{
		"userName", "externalId", "displayName", "active", "preferredLanguage", "formatted", "givenName", "familyName", "employeeNumber", "organization", "department",
	} {
		if strings.EqualFold(n, name) {
			return n
		}
	}
	return name
}

// child is an object inside another; it is made if it is not there.
func child(of map[string]any, name string) map[string]any {
	c, ok := of[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		of[name] = c
	}
	return c
}

// applyContact changes the one contact of a kind that central keeps. What is said of others is passed over.
func applyContact(into map[string]any, name, kept, sub string, o scim.PatchOperation) error {
	list, _ := into[name].([]any)
	present := contactIn(list, kept)
	if e := o.Path.ValueExpression; e != nil {
		meant, err := means(e, kept, present)
		if err != nil {
			return err
		}
		if !meant {
			return nil
		}
	}
	switch {
	case strings.EqualFold(sub, "type"), strings.EqualFold(sub, "primary"):
		return nil
	case o.Op == scim.PatchOperationRemove:
		present = ""
	case sub == "":
		values, ok := o.Value.([]any)
		if !ok {
			values = []any{o.Value}
		}
		next := contactIn(values, kept)
		if next == "" && o.Path.ValueExpression != nil { // the values of one that is named by its type need not have it
			next = contactIn(values, "")
		}
		if next != "" || o.Op == scim.PatchOperationReplace {
			present = next
		}
	default:
		text, ok := firstOf(o.Value).(string)
		if !ok {
			return fmt.Errorf("%s has a value that is no text", name)
		}
		present = text
	}
	into[name] = contactList(present, kept)
	return nil
}

func firstOf(v any) any {
	if list, ok := v.([]any); ok && len(list) == 1 {
		return list[0]
	}
	return v
}

// contactList is how central shows the one contact of a kind.
func contactList(value, kept string) []any {
	if value == "" {
		return nil
	}
	return []any{map[string]any{"value": value, "type": kept, "primary": true}}
}

// contactIn finds the contact of a type; if there is none of any type, the first. An empty type is any.
func contactIn(list []any, kept string) string {
	untyped := ""
	for _, one := range list {
		c, _ := one.(map[string]any)
		value, _ := c["value"].(string)
		is, _ := c["type"].(string)
		if strings.EqualFold(is, kept) || kept == "" {
			return value
		}
		if is == "" && untyped == "" {
			untyped = value
		}
	}
	return untyped
}

// means says whether a path's filter is about the contact that central keeps.
func means(e filter.Expression, kept, present string) (bool, error) {
	a, ok := e.(*filter.AttributeExpression)
	if !ok || a.Operator != filter.EQ {
		return false, errors.New(`contacts are named by one comparison, such as [type eq "` + kept + `"]`)
	}
	switch strings.ToLower(a.AttributePath.AttributeName) {
	case "type":
		text, _ := a.CompareValue.(string)
		return strings.EqualFold(text, kept), nil
	case "primary":
		return a.CompareValue == true, nil
	case "value":
		return a.CompareValue == present, nil
	}
	return false, errors.New(`contacts are named by type, primary or value, such as [type eq "` + kept + `"]`)
}
