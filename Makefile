# SPDX-License-Identifier: MIT
# The front door: each target is one command to type. Meson does the building.

PREFIX ?= /usr/local
DESTDIR ?=
B ?= build
ARGS ?=

.PHONY: help build test prove chaos demo bench bench-peers install clean

help:
	@echo 'make demo         build, then see it work on all files under /usr/include'
	@echo 'make test         build and run every test (ARGS="-v park": only these, in full)'
	@echo 'make prove        the proof machinery at small counts: explorer, kills, museum, mutants; some minutes'
	@echo 'make chaos        kills processes of a family at random while it works, and balances its books; half a minute'
	@echo 'make bench        measure; make bench-peers first installs what it is measured against'
	@echo 'make install      into PREFIX ($(PREFIX)), below DESTDIR'
	@echo 'make build clean  what they say; B=$(B) is the directory'

build:
	@tools/setup build
	@test -f $(B)/build.ninja || meson setup $(B) --prefix '$(PREFIX)' --buildtype release -Ddebug=true
	@ninja -C $(B)

test: build
	@$(B)/tests/motet-test --scripts tests/scripts --build $(B) $(ARGS)

prove: build
	@tools/prove $(B) $(ARGS)

chaos: build
	@$(B)/tests/chaos/motet-chaos $(ARGS)

demo: build
	@examples/demo.sh $(B)

bench: build
	@bench/run $(B) $(ARGS)

bench-peers:
	@bench/install-peers

# The prefix is written into motet.pc, so it has to be known to Meson and not only to the copying.
install: build
	@meson configure $(B) -Dprefix='$(PREFIX)'
	@ninja -C $(B)
	@DESTDIR="$(abspath $(DESTDIR))" meson install -C $(B) --no-rebuild --quiet
	@test -n '$(DESTDIR)' -o "$$(id -u)" -ne 0 || ldconfig

clean:
	rm -rf $(B)
