package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
	"github.com/scim2/filter-parser/v2"
)

// A directory feeds holders by SCIM 2.0 (RFC 7643, RFC 7644) on the web listener: users alone, no groups, no bulk, no sorting.
// Whoever has the token can say where codes go, so that changed contacts are dated and told as those of an import are.
//
// Of a user central keeps userName, externalId, displayName, name.givenName and familyName, active, the email of type "work",
// the phone number of type "mobile", preferredLanguage, and of the enterprise extension employeeNumber, organization and department.
// All else is passed over, wherever it stands: directories send more than one asks for.

// scimPath is where SCIM is spoken.
const scimPath = "/scim/v2/"

// What central keeps of a user, as discovery tells it.
var (
	userSchema = schema.Schema{
		ID: schema.UserSchema, Name: optional.NewString("User"), Description: optional.NewString("A holder of smartcards"),
		Attributes: []schema.CoreAttribute{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "userName", Required: true, Uniqueness: schema.AttributeUniquenessServer()})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "displayName"})),
			schema.ComplexCoreAttribute(schema.ComplexParams{Name: "name", SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "formatted"}),
				schema.SimpleStringParams(schema.StringParams{Name: "givenName"}),
				schema.SimpleStringParams(schema.StringParams{Name: "familyName"}),
			}}),
			schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{Name: "active"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "preferredLanguage"})),
			contactSchema("emails", workEmail),
			contactSchema("phoneNumbers", mobilePhone),
		},
	}
	enterpriseSchema = schema.Schema{
		ID: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", Name: optional.NewString("Enterprise User"),
		Attributes: []schema.CoreAttribute{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "employeeNumber"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "organization"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "department"})),
		},
	}
)

// Types of contact that central keeps.
const (
	workEmail   = "work"
	mobilePhone = "mobile"
)

func contactSchema(name, kept string) schema.CoreAttribute {
	return schema.ComplexCoreAttribute(schema.ComplexParams{Name: name, MultiValued: true, SubAttributes: []schema.SimpleParams{
		schema.SimpleStringParams(schema.StringParams{Name: "value"}),
		schema.SimpleStringParams(schema.StringParams{Name: "type", CanonicalValues: []string{kept}}),
		schema.SimpleBooleanParams(schema.BooleanParams{Name: "primary"}),
	}})
}

// scimPage is the most users of one answer.
const scimPage = 200

// scim is SCIM 2.0 for whoever shows the token.
func (s *Server) scim() http.Handler {
	server, err := scim.NewServer(&scim.ServerArgs{
		ServiceProviderConfig: &scim.ServiceProviderConfig{
			MaxResults: scimPage, SupportFiltering: true, SupportPatch: true,
			AuthenticationSchemes: []scim.AuthenticationScheme{{
				Type: scim.AuthenticationTypeOauthBearerToken, Name: "Bearer token", Primary: true, SpecURI: optional.NewString("https://www.rfc-editor.org/rfc/rfc6750"),
			}},
		},
		ResourceTypes: []scim.ResourceType{{
			ID: optional.NewString("User"), Name: "User", Endpoint: "/Users", Schema: userSchema,
			SchemaExtensions: []scim.SchemaExtension{{Schema: enterpriseSchema}}, Handler: users{s},
		}},
	})
	if err != nil {
		panic(err) // constants
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/scim+json")
		if !s.SCIM.shownBy(r) {
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750 §3
			scimProblem(w, scimerrors.ScimError{Status: http.StatusUnauthorized, Detail: "The token is missing or wrong."})
			return
		}
		in := &scimRequest{location: func(id string) { w.Header().Set("Location", scimPath+"Users/"+url.PathEscape(id)) }}
		r = r.WithContext(context.WithValue(r.Context(), scimRequestKey{}, in))
		if bad := in.prepare(w, r); bad != nil {
			scimProblem(w, *bad)
			return
		}
		http.StripPrefix("/scim", server).ServeHTTP(w, r)
	})
}

func scimProblem(w http.ResponseWriter, e scimerrors.ScimError) {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and a number
	}
	w.WriteHeader(e.Status)
	w.Write(b)
}

// scimRequest is what the library does not pass on.
type scimRequest struct {
	wanted   *match
	location func(id string) // tells where a user who was created is
}

type scimRequestKey struct{}

// match is what users are filtered by: attribute is in lower case, and one of matched.
type match struct{ attribute, value string }

var matched = []string{"username", "externalid", "id"}

// badFilter is what a filter that central does not apply comes to (RFC 7644 §3.4.2.2).
var badFilter = scimerrors.ScimError{
	ScimType: scimerrors.ScimTypeInvalidFilter, Status: http.StatusBadRequest,
	Detail: `Users can be filtered by userName, externalId or id, each with eq and a value, such as userName eq "mary@example.nhs.uk".`,
}

// prepare makes of what directories send what the library takes.
func (in *scimRequest) prepare(w http.ResponseWriter, r *http.Request) *scimerrors.ScimError {
	query := r.URL.Query()
	if text := query.Get("filter"); r.URL.Path == scimPath+"Users" && text != "" {
		expression, err := filter.ParseFilter([]byte(text))
		e, simple := expression.(*filter.AttributeExpression)
		if err != nil || !simple || e.Operator != filter.EQ || e.AttributePath.SubAttribute != nil ||
			e.AttributePath.URIPrefix != nil && !strings.EqualFold(e.AttributePath.URI(), schema.UserSchema) {
			return &badFilter
		}
		value, isText := e.CompareValue.(string)
		in.wanted = &match{strings.ToLower(e.AttributePath.AttributeName), value}
		if !isText || !slices.Contains(matched, in.wanted.attribute) {
			return &badFilter
		}
		query.Del("filter")
		r.URL.RawQuery = query.Encode()
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return &scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: "The request is too large."}
		}
		return &scimerrors.ScimErrorInvalidSyntax
	}
	if r.Method == http.MethodPatch {
		var left bool
		if body, left, err = plainPatch(body); err == nil && !left {
			r.Method = http.MethodGet // nothing that central keeps is changed: the user as it is
		}
	} else {
		body, err = plainUser(body)
	}
	if err != nil {
		return &scimerrors.ScimErrorInvalidSyntax
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}
