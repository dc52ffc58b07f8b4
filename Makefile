# tally. `make demo` and `make check` are the two commands; `make help` lists all.
# Everything is built under $(BUILD); SANITIZE=address,undefined or thread builds beside it.

VERSION := 0.1.0
SOVERSION := 0
PREFIX ?= /usr/local
DESTDIR ?=
comma := ,
ifeq ($(origin CC),default)
CC := gcc
endif
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2
OPTIMISE ?= $(if $(SANITIZE),-O1 -fno-omit-frame-pointer,-O2)
CFLAGS ?= -g
ALL_CFLAGS = -std=gnu11 $(OPTIMISE) $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -Iinclude -MMD -MP -fvisibility=hidden \
             $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
ALL_LDFLAGS = $(LDFLAGS) -Wl,-z,relro,-z,now $(if $(SANITIZE),-fsanitize=$(SANITIZE))

# pkg-config is asked once a package list and make run, and only when something needs it.
AGENT_CFLAGS = $(eval AGENT_CFLAGS := $$(shell pkg-config --cflags $(AGENT_PACKAGES)))$(AGENT_CFLAGS)
AGENT_LIBS = $(eval AGENT_LIBS := $$(shell pkg-config --libs $(AGENT_PACKAGES)) -lpthread)$(AGENT_LIBS)
TOOL_CFLAGS = $(eval TOOL_CFLAGS := $$(shell pkg-config --cflags $(TOOL_PACKAGES)))$(TOOL_CFLAGS)
TOOL_LIBS = $(eval TOOL_LIBS := $$(shell pkg-config --libs $(TOOL_PACKAGES)))$(TOOL_LIBS)
TEST_LIBS = $(eval TEST_LIBS := $$(shell pkg-config --libs $(TEST_PACKAGES)))$(TEST_LIBS)
AGENT_PACKAGES := sqlite3 libsystemd inih libcjson
TOOL_PACKAGES := smartcols libcjson
TEST_PACKAGES := cmocka libcjson

SHIM_SOURCES := $(wildcard shim/*.c)
CAPTURE_SOURCES := $(wildcard shim/capture/*.c)
PRELOAD_SOURCES := $(wildcard shim/preload/*.c)
AGENT_SOURCES := $(wildcard agent/*/*.c)
TOOL_SOURCES := $(wildcard tools/tally/*.c)
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
UNIT_SOURCES := $(wildcard tests/unit/*.c)
PROCESS_SOURCES := $(wildcard tests/lifecycle/test_*.c tests/crash/test_*.c)
HELPER_SOURCES := $(wildcard tests/programs/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/*.c)
DEMO_SOURCES := $(wildcard tools/demo/*.c)
BENCH_SOURCES := $(wildcard tools/bench/*.c)
# shared code of a room of tests: tests/crash/*.c that are not programs themselves
CRASH_SOURCES := $(filter-out tests/crash/test_%,$(wildcard tests/crash/*.c))

object = $(1:%.c=$(BUILD)/%.o)
SHIM_OBJECTS := $(call object,$(SHIM_SOURCES))
CAPTURE_OBJECTS := $(call object,$(CAPTURE_SOURCES))
PRELOAD_OBJECTS := $(call object,$(PRELOAD_SOURCES))
AGENT_OBJECTS := $(call object,$(AGENT_SOURCES))
TOOL_OBJECTS := $(call object,$(TOOL_SOURCES))
SUPPORT_OBJECTS := $(call object,$(SUPPORT_SOURCES))
CRASH_OBJECTS := $(call object,$(CRASH_SOURCES))

UNIT_TESTS := $(UNIT_SOURCES:%.c=$(BUILD)/%)
PROCESS_TESTS := $(PROCESS_SOURCES:%.c=$(BUILD)/%)
HELPERS := $(HELPER_SOURCES:%.c=$(BUILD)/%) $(HELPER_SOURCES:%.c=$(BUILD)/%-static)
DEMOS := $(DEMO_SOURCES:%.c=$(BUILD)/%)
SCRIPT_TESTS := $(wildcard tests/sidecar/test_*.py tests/capture/test_*.py tests/build/*.sh tests/fuzz/*.sh tests/model/run.sh)
RUNNER := $(BUILD)/tests/runner/contain
LAYOUT := $(BUILD)/tools/layout/dump
FUZZ_SEEDS := $(BUILD)/tests/fuzz/seeds
FUZZERS := $(filter-out $(FUZZ_SEEDS),$(FUZZ_SOURCES:%.c=$(BUILD)/%))
TESTS := $(UNIT_TESTS) $(SCRIPT_TESTS) $(PROCESS_TESTS)

.PHONY: all
all: $(BUILD)/libtally.so $(BUILD)/libtally.a $(BUILD)/libtally-preload.so $(BUILD)/tally-node.js $(BUILD)/tallyd $(BUILD)/tally

.PHONY: help
help:
	@echo 'make demo            install what is missing, build, kill processes, lose nothing'
	@echo 'make check           install what is missing, build, run all tests (ONLY=NAME: those that match)'
	@echo 'make check-sanitize  the tests that can, under ASan and UBSan, then under TSan'
	@echo 'make fuzz            fuzz shared memory as both sides read it (SECONDS=60 for each target)'
	@echo 'make proof           what is claimed, how it was tried, how often: the long form, some hours (ONLY=NAME)'
	@echo 'make soak            20,000 records a second for half an hour: does anything grow? (SECONDS=1800)'
	@echo 'make proof-peers     the same kills on LTTng-UST, iceoryx, Boost and a queue with a thread'
	@echo 'make lint            clang-tidy, cppcheck, clang-format, shellcheck, man pages'
	@echo 'make bench           what a record costs, beside named peers (JSON=1: as JSON; SCALE=20: a fifth; ONLY=PART,...)'
	@echo 'make bench-plot      PNGs of what the last run of it measured;  make bench-goals: its goals, as Markdown'
	@echo 'make                 libtally.so, libtally.a, tallyd, tally, in $(BUILD)/'
	@echo 'make install         to PREFIX ($(PREFIX)), under DESTDIR;  make uninstall'
	@echo 'make layout          write the shared memory layout to tests/layout/'
	@echo 'make clean'

# ---- objects ---------------------------------------------------------------
# Objects depend on the flags they were made with: this file changes only when they do.
FLAGS = $(CC) $(shell $(CC) -dumpfullversion 2>/dev/null || $(CC) -dumpversion) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(AGENT_CFLAGS) $(AGENT_LIBS) $(TOOL_LIBS)
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@
.PHONY: always

# One short line a file; V=1 shows the commands, -s nothing.
say = $(if $(V),,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '  $(1)  $@' && ))
compile = @mkdir -p $(@D)$(newline)	$(call say,CC)$(CC) $(ALL_CFLAGS) $(1) -c $< -o $@
define newline


endef

$(BUILD)/shim/%.o: shim/%.c $(BUILD)/flags
	$(call compile,$(if $(SANITIZE),,-O3) -fPIC -ftls-model=initial-exec -Ishim)
$(BUILD)/agent/%.o: agent/%.c $(BUILD)/flags
	$(call compile,-Iagent -Ishim -I$(BUILD)/agent $(AGENT_CFLAGS))
$(BUILD)/tools/%.o: tools/%.c $(BUILD)/flags
	$(call compile,-Itools -Iagent -Ishim $(AGENT_CFLAGS) $(TOOL_CFLAGS))
$(BUILD)/tests/%.o: tests/%.c $(BUILD)/flags
	$(call compile,-Itests -Iagent -Ishim -I$(BUILD)/agent $(AGENT_CFLAGS))
.SECONDARY:

# SQL files and the built-in price list become C strings.
SQL := $(patsubst %,$(BUILD)/%.inc,$(wildcard agent/store/*.sql) agent/price/builtin.json)
$(BUILD)/agent/%.inc: agent/%
	@mkdir -p $(@D)
	$(call say,SQL)sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $< > $@
$(AGENT_OBJECTS): | $(SQL)
$(BUILD)/agent/store/schema.o $(BUILD)/agent/price/table.o: $(SQL)

-include $(patsubst %.c,$(BUILD)/%.d,$(SHIM_SOURCES) $(CAPTURE_SOURCES) $(PRELOAD_SOURCES) $(AGENT_SOURCES) $(wildcard agent/*.c) $(TOOL_SOURCES) $(DEMO_SOURCES) \
  $(BENCH_SOURCES) $(SUPPORT_SOURCES) $(UNIT_SOURCES) $(PROCESS_SOURCES) $(HELPER_SOURCES) $(CRASH_SOURCES) \
  $(FUZZ_SOURCES) \
  tools/layout/dump.c tests/runner/contain.c)

# ---- libraries and programs --------------------------------------------------
$(BUILD)/libtally.so.$(VERSION): $(SHIM_OBJECTS) shim/tally.map
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libtally.so.$(SOVERSION) -Wl,--version-script,shim/tally.map \
	  -Wl,-z,nodelete -Wl,-z,defs -Wl,-Bsymbolic -o $@ $(SHIM_OBJECTS)
$(BUILD)/libtally.so: $(BUILD)/libtally.so.$(VERSION)
	@ln -sf libtally.so.$(VERSION) $(BUILD)/libtally.so.$(SOVERSION)
	@ln -sf libtally.so.$(VERSION) $@
$(BUILD)/libtally.a: $(SHIM_OBJECTS)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^
# What captures, for unit tests and fuzz targets; with all of libtally and the interposers it is what programs are preloaded with.
$(BUILD)/libcapture.a: $(CAPTURE_OBJECTS)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^
$(BUILD)/libtally-preload.so: $(SHIM_OBJECTS) $(CAPTURE_OBJECTS) $(PRELOAD_OBJECTS) shim/preload/preload.map
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libtally-preload.so -Wl,--version-script,shim/preload/preload.map \
	  -Wl,-z,nodelete -Wl,-z,defs -Wl,-Bsymbolic -o $@ $(filter %.o,$^)
# Read by node; stands beside the library.
$(BUILD)/tally-node.js: shim/node/hook.js
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/libagent.a: $(AGENT_OBJECTS)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

link = $(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)
$(BUILD)/tallyd: $(BUILD)/agent/main.o $(BUILD)/libagent.a $(BUILD)/libtally.a
	$(link) $(AGENT_LIBS)
# All of the command but its main(): for unit tests.
$(BUILD)/libtools.a: $(filter-out $(BUILD)/tools/tally/main.o,$(TOOL_OBJECTS))
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^
$(BUILD)/tally: $(BUILD)/tools/tally/main.o $(BUILD)/libtools.a $(BUILD)/libagent.a $(BUILD)/libcapture.a $(BUILD)/libtally.a
	$(link) $(AGENT_LIBS) $(TOOL_LIBS)
$(LAYOUT) $(RUNNER): %: %.o
	$(link)

# ---- tests, demo, bench ----------------------------------------------------------
$(UNIT_TESTS): %: %.o $(BUILD)/tests/support/filter.o $(BUILD)/libtools.a $(BUILD)/libagent.a $(BUILD)/libcapture.a $(BUILD)/libtally.a
	$(link) $(TEST_LIBS) $(AGENT_LIBS) $(TOOL_LIBS)
$(filter $(BUILD)/tests/crash/%,$(PROCESS_TESTS)): $(CRASH_OBJECTS)
$(PROCESS_TESTS): %: %.o $(SUPPORT_OBJECTS) $(BUILD)/libagent.a $(BUILD)/libtally.a
	$(link) $(TEST_LIBS) $(AGENT_LIBS)
# Helper programs stand for users' programs: linked with the shared library, and with the archive.
with_shared = $(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -L$(BUILD) -Wl,-rpath,'$$ORIGIN/../..' -ltally -lpthread
$(filter-out %-static,$(HELPERS)) $(DEMOS): %: %.o $(BUILD)/libtally.so
	$(with_shared)
$(filter %-static,$(HELPERS)): %-static: %.o $(BUILD)/libtally.a
	$(link) -lpthread
# Of the agent it has what understands and prices; the rest of it is beside it, a program of its own.
$(BUILD)/tools/bench/bench: $(call object,$(BENCH_SOURCES)) $(BUILD)/libtally.so $(BUILD)/libagent.a $(BUILD)/libtally.a
	$(with_shared) $(BUILD)/libagent.a $(BUILD)/libtally.a $(AGENT_LIBS)

# Clients of another C library, beside the agent and clients of this one: the library and some programs built once more, in
# $(BUILD)/musl. musl-gcc knows no headers but its own; those of the kernel come after them. Where there is none, tests
# are skipped and say so.
MUSL_CC ?= musl-gcc
MUSL_CFLAGS := -g -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu
MUSL_HELPERS := $(foreach name,client forks threads server,$(BUILD)/tests/programs/$(name) $(BUILD)/tests/programs/$(name)-static)
.PHONY: musl musl-here
musl:
	+@if command -v $(MUSL_CC) >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory CC='$(MUSL_CC)' CFLAGS='$(MUSL_CFLAGS)' BUILD='$(BUILD)/musl' musl-here; fi
musl-here: $(MUSL_HELPERS)
ifneq ($(findstring musl,$(CC)),)
$(filter %-static,$(MUSL_HELPERS)): private LDFLAGS += -static
endif

.PHONY: tests
tests: all $(UNIT_TESTS) $(PROCESS_TESTS) $(HELPERS) $(RUNNER) $(LAYOUT) $(if $(SANITIZE),,fuzzers musl $(BUILD)/tools/bench/bench)

# A clean clone uses all processors unless told otherwise.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check
check:
	@tools/bootstrap check
	+@$(MAKE) --no-print-directory $(jobs) tests
	@tests/run --build '$(BUILD)' --claims tests/claims $(if $(ONLY),--only '$(ONLY)') $(TESTS)

# Left out: what kills at every instruction (a sanitizer's own would be most of them), and
# what looks at the build rather than at the code.
SANITIZE_TESTS = $(UNIT_TESTS) $(filter $(BUILD)/tests/lifecycle/%,$(PROCESS_TESTS))
.PHONY: check-sanitize check-this-sanitizer
check-sanitize:
	@tools/bootstrap check
	+@$(MAKE) --no-print-directory SANITIZE=address,undefined check-this-sanitizer
	+@$(MAKE) --no-print-directory SANITIZE=thread check-this-sanitizer
check-this-sanitizer:
	+@$(MAKE) --no-print-directory $(jobs) tests
	@tests/run --build '$(BUILD)' --label '$(SANITIZE)' $(if $(ONLY),--only '$(ONLY)') $(SANITIZE_TESTS)

# Fuzz targets: everything is built once more, by clang with libFuzzer, in $(BUILD)/fuzz. Where there is none,
# they are not built, and their test is skipped and says so.
FUZZ_CC ?= clang-14
FUZZ_SANITIZE := fuzzer-no-link,address,undefined
$(FUZZERS): private LDFLAGS += -fsanitize=fuzzer
$(FUZZERS) $(FUZZ_SEEDS): %: %.o $(BUILD)/libagent.a $(BUILD)/libcapture.a $(BUILD)/libtally.a
	$(link) $(AGENT_LIBS)
.PHONY: fuzz fuzzers fuzzers-here
fuzzers:
	+@if echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	  $(FUZZ_CC) -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null; then \
	  $(MAKE) --no-print-directory SANITIZE='$(FUZZ_SANITIZE)' CC='$(FUZZ_CC)' BUILD='$(BUILD)/fuzz' \
	    WARNINGS='$(filter-out -Wformat=2,$(WARNINGS))' fuzzers-here; fi
# The agent too: for tests in which others may write whatever they like.
fuzzers-here: $(FUZZERS) $(FUZZ_SEEDS) $(BUILD)/tallyd
SECONDS ?= 60
fuzz:
	@tools/bootstrap check
	+@$(MAKE) --no-print-directory $(jobs) fuzzers $(RUNNER)
	@TALLY_FUZZ_SECONDS=$(SECONDS) tests/run --build '$(BUILD)' --timeout $$(($(SECONDS) * 10 + 900)) tests/fuzz/run.sh

# What the same kills do to others: tests/peers/README.md.
# The long form of what is claimed: more tries of the same.
.PHONY: proof soak
proof:
	@tools/bootstrap check
	+@$(MAKE) --no-print-directory $(jobs) tests
	@TALLY_TEST_LONG=1 TALLY_FUZZ_SECONDS=$${TALLY_FUZZ_SECONDS:-120} tests/run --build '$(BUILD)' --timeout 14400 \
	  --claims tests/claims --claimed $(if $(ONLY),--only '$(ONLY)') $(TESTS)
soak: SECONDS = 1800
soak:
	@tools/bootstrap check
	+@$(MAKE) --no-print-directory $(jobs) tests
	@TALLY_TEST_SOAK_SECONDS=$(SECONDS) tests/run --build '$(BUILD)' --timeout $$(($(SECONDS) + 900)) \
	  '$(BUILD)/tests/lifecycle/test_soak'

.PHONY: proof-peers
proof-peers:
	@tools/bootstrap peers
	+@$(MAKE) --no-print-directory $(jobs) -s all
	@tests/peers/run '$(BUILD)'

.PHONY: demo
demo:
	@tools/bootstrap demo
	+@$(MAKE) --no-print-directory $(jobs) -s all $(DEMOS)
	@tools/demo/demo '$(BUILD)'
	@tools/demo/unmodified '$(BUILD)'

# What was measured last is kept in bench.json, whole or not at all.
BENCH_JSON := $(BUILD)/bench.json
.PHONY: bench bench-plot bench-goals bench-json
bench:
	@tools/bootstrap bench
	+@$(MAKE) --no-print-directory $(jobs) -s all $(BUILD)/tools/bench/bench
	@tools/bench/bench.sh '$(BUILD)' $(if $(JSON),--json) --json-to '$(BENCH_JSON).new' \
	  $(if $(SCALE),--scale '$(SCALE)') $(if $(ONLY),--only '$(ONLY)')
	@mv '$(BENCH_JSON).new' '$(BENCH_JSON)'
	$(if $(JSON),@cat '$(BENCH_JSON)')
bench-json:
	+@[ -s '$(BENCH_JSON)' ] || $(MAKE) --no-print-directory bench
bench-plot: bench-json
	@tools/bootstrap bench
	@mkdir -p '$(BUILD)/bench'
	@tools/bench/plot '$(BENCH_JSON)' '$(BUILD)/bench'
bench-goals: bench-json
	@tools/bench/goals '$(BENCH_JSON)'

.PHONY: layout
layout: $(LAYOUT)
	$(LAYOUT) > tests/layout/abi-v1.txt

# ---- lint ----------------------------------------------------------------------
.PHONY: lint
lint:
	@tools/bootstrap lint
	+@$(MAKE) --no-print-directory -s $(SQL)
	@tools/lint '$(BUILD)' '$(AGENT_CFLAGS) $(TOOL_CFLAGS)'

# ---- install ---------------------------------------------------------------------
LIBDIR := $(PREFIX)/lib
UNITDIR := $(LIBDIR)/systemd/system
MAN := $(wildcard tools/man/*.[1-8])
HEADERS := $(wildcard include/tally/*.h)
man_target = $(PREFIX)/share/man/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))
INSTALLED = $(PREFIX)/bin/tally $(PREFIX)/bin/tallyd $(LIBDIR)/libtally.a $(LIBDIR)/libtally.so \
  $(LIBDIR)/libtally.so.$(SOVERSION) $(LIBDIR)/libtally.so.$(VERSION) $(LIBDIR)/libtally-preload.so $(LIBDIR)/tally-node.js $(LIBDIR)/pkgconfig/tally.pc \
  $(UNITDIR)/tallyd.service $(foreach header,$(HEADERS),$(PREFIX)/include/tally/$(notdir $(header))) \
  $(foreach page,$(MAN),$(call man_target,$(page)))

.PHONY: install uninstall
install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(PREFIX)/include/tally'
	install -m 755 $(BUILD)/tally $(BUILD)/tallyd '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 $(BUILD)/libtally.a $(BUILD)/tally-node.js '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(BUILD)/libtally.so.$(VERSION) $(BUILD)/libtally-preload.so '$(DESTDIR)$(LIBDIR)'
	ln -sf libtally.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/libtally.so.$(SOVERSION)'
	ln -sf libtally.so.$(SOVERSION) '$(DESTDIR)$(LIBDIR)/libtally.so'
	install -m 644 $(HEADERS) '$(DESTDIR)$(PREFIX)/include/tally'
	sed -e 's|@PREFIX@|$(PREFIX)|g; s|@VERSION@|$(VERSION)|g' shim/tally.pc.in > '$(DESTDIR)$(LIBDIR)/pkgconfig/tally.pc'
	sed -e 's|^\(ExecStart=\)[^ ]*tallyd|\1$(PREFIX)/bin/tallyd|' agent/tallyd.service > '$(DESTDIR)$(UNITDIR)/tallyd.service'
	$(foreach page,$(MAN),install -D -m 644 $(page) '$(DESTDIR)$(call man_target,$(page))'$(newline)	)
	$(if $(DESTDIR),,-ldconfig 2>/dev/null)
uninstall:
	rm -f $(foreach file,$(INSTALLED),'$(DESTDIR)$(file)')
	-rmdir '$(DESTDIR)$(PREFIX)/include/tally' 2>/dev/null

.PHONY: clean
clean:
	rm -rf '$(BUILD)'
