#!/usr/bin/env bash
# Lays the test suite of Node 20 under ${MANYCORE_SUITE:-${XDG_CACHE_HOME:-$HOME/.cache}/manycore/node20}
# and prints that folder. Nothing is done when it is there already.
#
# It is taken from Debian's upstream tarball of nodejs, from the mirror that apt is set up with. Nothing of it
# belongs into this repository: it is read and run, never copied.
set -euo pipefail

# The release of Debian whose nodejs is Node 20, and its upstream tarball as that release's signed index has it.
suite=trixie
pinned_path=pool/main/n/nodejs/nodejs_20.19.2%2bdfsg.orig.tar.xz
pinned_sha256=5e5559381ad031d245a8efa403458abbb73755f74c3e6380f185a4dd342b7949

dest=${MANYCORE_SUITE:-${XDG_CACHE_HOME:-$HOME/.cache}/manycore/node20}
if [ -e "$dest/test/parallel" ]; then
  echo "$dest"
  exit 0
fi

say() { echo "fetch.sh: $*" >&2; }
helper=/usr/lib/apt/apt-helper
for tool in apt-get "$helper" xz tar; do
  command -v "$tool" >/dev/null || {
    say "needs $tool"
    exit 1
  }
done

mkdir -p "$(dirname "$dest")"
# Beside the destination, so that the last step is a rename within one file system.
work=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$work"' EXIT
tarball=$work/node.tar.xz

# Debian's mirrors among apt's sources, one per line.
mirrors() {
  apt-get indextargets --format '$(SITE) $(REPO_URI) $(ORIGIN)' 2>/dev/null |
    awk '$3 == "Debian" && $2 !~ /security/ { sub(/\/$/, "", $2); print $2 }'
  # Before the first `apt-get update` there are no indexes to ask for their origin.
  sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | tr ' ' '\n' | grep -E '/debian/?$' | sed 's,/$,,'
  sed -nE 's/^deb (\[[^]]*\] )?([^ ]+).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -E '/debian/?$' | sed 's,/$,,'
  true
}

download() { # url sha256
  rm -f "$tarball"
  "$helper" download-file "$1" "$tarball" "SHA256:$2" >&2 && [ -s "$tarball" ]
}

# The tarball of a later point release: its name and checksum stand in the signed index of sources.
from_index() { # mirror
  local lists=$work/apt/lists cache=$work/apt/cache
  mkdir -p "$lists/partial" "$cache/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 $suite main" >"$work/apt/sources.list"
  local options=(
    -qq -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$lists" -o "Dir::Cache=$cache" -o "APT::Sandbox::User=$(id -un)"
  )
  apt-get "${options[@]}" update >&2 || return 1
  apt-get "${options[@]}" --print-uris source nodejs 2>/dev/null |
    sed -nE "s/^'([^']+)' nodejs_[^ ]+\.orig\.tar\.xz [0-9]+ SHA256:([0-9a-f]{64})$/\1 \2/p"
}

fetch() {
  local mirror found
  local list
  list=$(mirrors | awk '!seen[$0]++')
  for mirror in $list; do
    say "trying $mirror"
    download "$mirror/$pinned_path" "$pinned_sha256" && return 0
  done
  for mirror in $list; do
    say "asking the index of $mirror"
    found=$(from_index "$mirror") || continue
    [ -n "$found" ] && download "${found% *}" "${found#* }" && return 0
  done
  say "no mirror has the sources of nodejs in $suite"
  return 1
}

fetch
mkdir "$work/suite"
tar -xJf "$tarball" -C "$work/suite" --strip-components=1 --wildcards \
  'node-*/test/*' 'node-*/lib/*' 'node-*/benchmark/*' 'node-*/doc/api/*'
[ -e "$work/suite/test/parallel" ] || {
  say "the tarball holds no test/parallel"
  exit 1
}
# When another process was quicker, its result is as good.
mv -T "$work/suite" "$dest" 2>/dev/null || [ -e "$dest/test/parallel" ] || {
  say "cannot write $dest"
  exit 1
}
echo "$dest"
