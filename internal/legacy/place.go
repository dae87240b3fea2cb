package legacy

import (
	"strings"

	"imagecustomizer/internal/config"
)

// renamed are today's keys in the spelling of 2023; an empty one has no level of its own there.
var renamed = map[string]string{
	"os": "SystemConfig", "hostname": "Hostname", "packages": "", "updateExistingPackages": "UpdateBaseImagePackages",
	"installLists": "PackageListsInstall", "install": "PackagesInstall", "removeLists": "PackageListsRemove",
	"remove": "PackagesRemove", "updateLists": "PackageListsUpdate", "update": "PackagesUpdate",
	"users": "Users", "name": "Name", "uid": "UID", "password": "Password", "value": "", "type": "",
	"passwordExpiresDays": "PasswordExpiresDays", "sshPublicKeyPaths": "SSHPubKeyPaths", "sshPublicKeys": "SSHPubKeys",
	"primaryGroup": "PrimaryGroup", "secondaryGroups": "SecondaryGroups", "startupCommand": "StartupCommand",
	"services": "Services", "enable": "Enable", "disable": "Disable", "kernelCommandLine": "KernelCommandLine",
	"extraCommandLine": "ExtraCommandLine", "additionalFiles": "AdditionalFiles", "scripts": "SystemConfig",
	"postCustomization": "PostInstallScripts", "finalizeCustomization": "FinalizeImageScripts", "path": "Path",
	"verity": "Verity", "disks": "Disks", "partitions": "Partitions", "storage": "", "modules": "Modules",
}

// Place is the place in a document of either schema that a path of today's names. Of a config of 2023 it is
// the nearest that is sure.
func Place(doc *config.Document, path string) *config.At {
	if !Is2023(doc) {
		return doc.Place(path)
	}
	if strings.HasPrefix(path, "storage.verity") {
		path = "os.verity"
	}
	var old []string
	for part := range strings.SplitSeq(path, ".") {
		name, index, listed := strings.Cut(part, "[")
		to, known := renamed[name]
		if !known {
			break
		}
		if to != "" {
			old = append(old, to)
		}
		if name == "modules" || name == "additionalFiles" || name == "extraCommandLine" { // not one list there
			break
		}
		if listed {
			old[len(old)-1] += "[" + index
		}
	}
	return doc.Place(strings.Join(old, "."))
}
