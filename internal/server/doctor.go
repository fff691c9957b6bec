package server

import (
	"cmp"
	"net/url"
	"path/filepath"

	"github.com/refract-video/refract/internal/doctor"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/redact"
)

// Examination returns what `refract doctor` examines of an installation with these settings.
func (f Config) Examination() doctor.Config {
	d := doctor.Config{
		Settings: f.Check(), DatabaseURL: f.DatabaseURL.Reveal(), DirectURL: f.DatabaseDirectURL.Reveal(), CallbackURL: f.CallbackURL,
		AllowPrivate: f.AllowPrivate, Appends: f.ingressAlone(), Roots: f.Tuning.Roots, Secrets: f.secrets(),
	}
	for _, databaseURL := range []redact.Secret{f.DatabaseURL, f.DatabaseDirectURL} {
		if u, err := url.Parse(databaseURL.Reveal()); err == nil {
			password, _ := u.User.Password()
			d.Secrets = append(d.Secrets, password)
		}
	}
	for _, key := range f.CallbackKeys {
		d.CallbackKeys = append(d.CallbackKeys, []byte(key.Reveal()))
	}
	f.examineListeners(&d)
	if d.Appends {
		d.DirectURL = "" // It has no use for it.
		return d
	}
	if f.has(roleAPI) {
		d.Issuers, d.IssuerClient = f.OIDCIssuers, f.issuerClient()
	}
	var err error
	if d.Accounts, _, err = f.Accounts(); err != nil {
		d.Settings = cmp.Or(d.Settings, err)
	}
	d.DataDir = f.DataDir
	if d.DataDir == "" && (f.private() || f.Bucket == "") { // NOTE: dataDir would make the folder.
		folder, err := pglocal.DefaultDataDir()
		d.DataDir, d.Settings = filepath.Dir(folder), cmp.Or(d.Settings, err)
	}
	f.DataDir = d.DataDir
	if d.BucketURL, err = f.bucketURL(); err != nil {
		d.Settings = cmp.Or(d.Settings, err)
	}
	return d
}

// examineListeners adds the certificates of the listeners that the replica has.
func (f *Config) examineListeners(d *doctor.Config) {
	for _, l := range []struct {
		name string
		used bool
		Listener
	}{{"of gRPC", f.has(roleAPI), f.GRPC}, {"of HTTP", true, f.HTTP}, {"of the ingress", f.has(roleIngress), f.Ingress}} {
		if l.used && l.TLSCert != "" {
			d.Certificates = append(d.Certificates, doctor.Certificate{Listener: l.name, File: l.TLSCert})
		}
	}
	if _, err := f.tlsFiles(nil); err != nil {
		d.Settings = cmp.Or(d.Settings, err)
	}
}
