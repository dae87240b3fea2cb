package cloud

import (
	"imagecustomizer/internal/cloudinit"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// CloudSeed are the texts of NoCloud.
type CloudSeed struct {
	UserData      *CloudText `yaml:"userData" doc:"What is to be done. Its first line says what it is, such as #cloud-config. The image's cloud-init checks it too."`
	MetaData      *CloudText `yaml:"metaData" doc:"What is known of the machine. An instance-id that is missing is added, another one for each image that is made."`
	NetworkConfig *CloudText `yaml:"networkConfig" doc:"The network, in version 1 or 2."`
	VendorData    *CloudText `yaml:"vendorData" doc:"As userData, which wins over it."`
}

// CloudText is a text for cloud-init.
type CloudText struct {
	Path    config.Path `yaml:"path" doc:"File on the build host. Either this or content."`
	Content *string     `yaml:"content" doc:"The text. Either this or path."`
}

// texts are those of the seed that there are, by the names of their files.
func (s *CloudSeed) texts() map[cloudinit.Kind]*CloudText {
	if s == nil {
		return nil
	}
	all := map[cloudinit.Kind]*CloudText{
		cloudinit.UserData: s.UserData, cloudinit.MetaData: s.MetaData, cloudinit.NetworkConfig: s.NetworkConfig, cloudinit.VendorData: s.VendorData,
	}
	for k, t := range all {
		if t == nil {
			delete(all, k)
		}
	}
	return all
}

// seedKeys are the keys of the texts in the config.
var seedKeys = map[cloudinit.Kind]string{
	cloudinit.UserData: "userData", cloudinit.MetaData: "metaData", cloudinit.NetworkConfig: "networkConfig", cloudinit.VendorData: "vendorData",
}

// Validate checks all texts.
func (s *CloudSeed) Validate(at *config.At) {
	for k, t := range s.texts() {
		t.check(k, at.Field(seedKeys[k]))
	}
	if s.UserData == nil && s.VendorData == nil && s.NetworkConfig == nil {
		at.Errorf("there is nothing to do in this seed").Hint("add userData")
	}
}

// maxCloudText bounds a text, in bytes.
const maxCloudText = 1 << 20

// read returns the text.
func (t *CloudText) read() (string, error) {
	if t.Content != nil {
		return *t.Content, nil
	}
	data, err := hostfs.ReadSmall(t.Path.Resolved, maxCloudText)
	return string(data), err
}

// check reports what is wrong with the text, at its line.
func (t *CloudText) check(k cloudinit.Kind, at *config.At) {
	key, name := "content", "the text"
	switch {
	case at.Has("path") == at.Has("content"):
		at.Errorf("this has one of path and content").Hint("write \"path:\" with a file, or \"content:\" with the text")
		return
	case at.Has("path"):
		key, name = "path", t.Path.Text
		if !t.Path.NeedFile(at.Field(key)) || !at.CheckFiles() {
			return
		}
	}
	text, err := t.read()
	if err != nil {
		at.Field(key).Errorf("cannot read %s: %v", name, err)
		return
	}
	for _, m := range cloudinit.Check(k, text) {
		e := at.Field(key).Errorf("%s, line %d of %s: %s", k, m.Line, name, m.Text)
		if m.Hint != "" {
			e.Hint("%s", m.Hint)
		}
	}
	if line := cloudinit.OpenPassword(text); line > 0 && (k == cloudinit.UserData || k == cloudinit.VendorData) {
		at.Field(key).Warnf("%s, line %d of %s, holds a password that everybody with the image can read", k, line, name).Hint("write its hash (hashed_passwd, or mkpasswd)")
	}
}
