#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/vm/kernels.sh VERSION
# Fetches the newest Debian cloud kernel of VERSION ("6.1", "6.12", ..., or "newest") and prints the
# folder that holds it: vmlinuz, config, release (what `uname -r` will say), package, modules/*.ko.
# A folder that is there already is used as it is; remove it to get a newer kernel.
#
# The machine's own package lists stay untouched: apt works on lists below build/vm/apt, made from
# the Debian mirror and proxy the machine already uses (or VM_MIRROR). Exit 1 with a one-line reason
# on stderr when there is no such kernel to be had.
set -eu

want=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
vm=$root/build/vm
apt=$vm/apt
kernel=$vm/kernels/$want
# In the order they must be inserted; those a kernel has built in, or lacks, are left out.
modules="veth sch_ingress sch_netem inet_diag tcp_diag udp_diag"
suites="bullseye bookworm bookworm-backports trixie trixie-backports sid"

fail() {
	echo "$1" >&2
	exit 1
}

mirror() {
	if [ -n "${VM_MIRROR:-}" ]; then
		echo "$VM_MIRROR"
		return
	fi
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016
	env -u APT_CONFIG apt-get indextargets 'Created-By: Packages' \
		--format '$(REPO_URI) $(RELEASE) $(ORIGIN)' |
		awk -v codename="$codename" '$2 == codename && ($3 == "Debian" || NF < 3 || $3 ~ /^\$/) {
			print $1; exit }'
}

write_apt_config() {
	uri=$(mirror)
	[ -n "$uri" ] || fail "the apt sources of this machine name no Debian mirror (set VM_MIRROR)"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/none"
	: >"$apt/status"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	options="arch=amd64"
	[ ! -r $keyring ] || options="$options signed-by=$keyring"
	for suite in $suites; do
		echo "deb [$options] $uri $suite main"
	done >"$apt/sources.list"
	# Retired suites carry an end date; their signatures are checked all the same.
	{
		env -u APT_CONFIG apt-config dump | grep -E '^Acquire::(https?|Retries|ForceIPv)' || true
		cat <<-EOF
			Dir::Etc::sourcelist "$apt/sources.list";
			Dir::Etc::sourceparts "$apt/none";
			Dir::Etc::parts "$apt/none";
			Dir::Etc::preferencesparts "$apt/none";
			Dir::State::lists "$apt/lists";
			Dir::State::status "$apt/status";
			Dir::Cache "$apt";
			APT::Architecture "amd64";
			APT::Architectures { "amd64"; };
			APT::Sandbox::User "root";
			Acquire::Languages "none";
			Acquire::GzipIndexes "true";
			Acquire::Check-Valid-Until "false";
		EOF
	} >"$apt/apt.conf"
}

# A suite that fails to update only narrows the choice: the lists that did arrive decide.
update_lists() {
	write_apt_config
	export APT_CONFIG="$apt/apt.conf"
	if [ -n "$(find "$apt/updated" -mmin -720 2>/dev/null)" ]; then
		return
	fi
	if apt-get update -qq -o APT::Update::Error-Mode=any >"$apt/update.log" 2>&1; then
		: >"$apt/updated"
	fi
}

# Newest first: "VERSION PACKAGE". 7.x kernels come as linux-binary-*, older ones as linux-image-*.
candidates() {
	case $want in
	newest) pattern='[0-9].*' ;;
	*) pattern=$(printf '%s' "$want" | sed 's/\./\\./g')'[.+-].*' ;;
	esac
	for prefix in linux-image- linux-binary- linux-binary-unsigned-; do
		apt-cache pkgnames "$prefix" | grep -v -e '-dbg$' |
			sed -n "s/^\($prefix\)\($pattern\)-cloud-amd64\(-unsigned\)\{0,1\}\$/\2 &/p"
	done | sort -u | sort -k1,1Vr -k2,2
}

# A package that holds no kernel image is the meta package of a split one: the next candidate has it.
unpack() {
	rm -rf "$vm/unpack" "$kernel.new"
	mkdir -p "$vm/unpack" "$kernel.new/modules"
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$vm/unpack"
	image=$(find "$vm/unpack" -type f -name 'vmlinuz*' | head -n 1)
	[ -n "$image" ] || return 1
	case $image in
	*/boot/*) release=${image##*/vmlinuz-} ;;
	*) release=$(basename "$(dirname "$image")") ;;
	esac
	mv "$image" "$kernel.new/vmlinuz"
	echo "$release" >"$kernel.new/release"
}

keep_config_and_modules() {
	find "$vm/unpack" -type f \( -path '*/boot/config-*' -o -path '*/modules/*/config' \) \
		-exec cp {} "$kernel.new/config" \;
	order=0
	for module in $modules; do
		order=$((order + 1))
		file=$(find "$vm/unpack" -type f -name "$module.ko*" | head -n 1)
		case $file in
		*.ko.xz) xz -dc "$file" >"$kernel.new/modules/$order-$module.ko" ;;
		*.ko) cp "$file" "$kernel.new/modules/$order-$module.ko" ;;
		esac
	done
}

download() {
	rm -f "$vm/deb"/*.deb
	(cd "$vm/deb" && apt-get download -qq "$1" >"$apt/download.log" 2>&1)
}

fetch() {
	candidates >"$apt/candidates"
	if [ ! -s "$apt/candidates" ]; then
		[ -e "$apt/updated" ] || fail "no package lists: $(grep -m 1 '^[EW]:' "$apt/update.log")"
		fail "no cloud kernel $want in $suites"
	fi
	mkdir -p "$vm/deb" "$vm/kernels"
	tried=0
	while read -r version package; do
		# Beyond this the mirror is ill, not one package.
		[ $tried -lt 8 ] || break
		tried=$((tried + 1))
		if ! download "$package" || ! unpack "$vm/deb"/*.deb; then
			continue
		fi
		# Split kernels keep their modules and their config in packages of their own.
		for part in modules base; do
			if [ -z "$(find "$vm/unpack" -path '*/boot/config-*')" ] &&
				download "linux-$part-$version-cloud-amd64"; then
				dpkg-deb --fsys-tarfile "$vm/deb"/*.deb | tar -x -C "$vm/unpack"
			fi
		done
		keep_config_and_modules
		echo "$package" >"$kernel.new/package"
		rm -rf "$vm/unpack" "$vm/deb"
		mv "$kernel.new" "$kernel"
		return 0
	done <"$apt/candidates"
	fail "kernel $want: no package could be fetched (see build/vm/apt/download.log)"
}

for tool in apt-get dpkg-deb xz; do
	command -v $tool >/dev/null || fail "$tool is missing: kernels come as Debian packages"
done
if [ ! -s "$kernel/release" ]; then
	update_lists
	fetch
fi
echo "$kernel"
