# tally. `make demo` and `make check` are the two commands; `make help` lists all.
# Everything is built under $(BUILD); SANITIZE=address,undefined or thread builds beside it.

VERSION := 0.1.0
SOVERSION := 0
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))
comma := ,

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2
OPTIMISE ?= $(if $(SANITIZE),-O1 -fno-omit-frame-pointer,-O2)
CFLAGS ?= -g
ALL_CFLAGS := -std=gnu11 $(OPTIMISE) $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -Iinclude -MMD -MP -fvisibility=hidden \
              $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
ALL_LDFLAGS := $(LDFLAGS) -Wl,-z,relro,-z,now $(if $(SANITIZE),-fsanitize=$(SANITIZE))

AGENT_PACKAGES := sqlite3 libcjson liburcu libsystemd inih
TOOL_PACKAGES := smartcols
TEST_PACKAGES := cmocka
pkg_cflags = $(shell pkg-config --cflags $(1) 2>/dev/null)
pkg_libs = $(shell pkg-config --libs $(1) 2>/dev/null)

SHIM_SOURCES := $(wildcard shim/*.c)
AGENT_SOURCES := $(wildcard agent/*/*.c)
TOOL_SOURCES := $(wildcard tools/tally/*.c)

SHIM_OBJECTS := $(SHIM_SOURCES:%.c=$(BUILD)/%.o)
AGENT_OBJECTS := $(AGENT_SOURCES:%.c=$(BUILD)/%.o)
TOOL_OBJECTS := $(TOOL_SOURCES:%.c=$(BUILD)/%.o)

.PHONY: all
all: $(BUILD)/libtally.so $(BUILD)/libtally.a $(BUILD)/tallyd $(BUILD)/tally

# ---- objects ---------------------------------------------------------------
$(BUILD)/shim/%.o: shim/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -ftls-model=initial-exec -Ishim -c $< -o $@

$(BUILD)/agent/%.o: agent/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Iagent -I$(BUILD)/agent $(call pkg_cflags,$(AGENT_PACKAGES)) -c $< -o $@

$(BUILD)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Iagent -Ishim $(call pkg_cflags,$(AGENT_PACKAGES) $(TOOL_PACKAGES)) -c $< -o $@

# SQL files become C strings.
$(BUILD)/agent/store/%.sql.inc: agent/store/%.sql
	@mkdir -p $(@D)
	sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $< > $@
$(BUILD)/agent/store/schema.o: $(patsubst %,$(BUILD)/%.inc,$(wildcard agent/store/*.sql))

# ---- libraries and programs --------------------------------------------------
$(BUILD)/libtally.so.$(VERSION): $(SHIM_OBJECTS) shim/tally.map
	$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libtally.so.$(SOVERSION) -Wl,--version-script,shim/tally.map \
	  -Wl,-z,nodelete -Wl,-z,defs -Wl,-Bsymbolic -o $@ $(SHIM_OBJECTS)
$(BUILD)/libtally.so: $(BUILD)/libtally.so.$(VERSION)
	ln -sf libtally.so.$(VERSION) $(BUILD)/libtally.so.$(SOVERSION)
	ln -sf libtally.so.$(VERSION) $@
$(BUILD)/libtally.a: $(SHIM_OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/libagent.a: $(AGENT_OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/tallyd: $(BUILD)/agent/main.o $(BUILD)/libagent.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(call pkg_libs,$(AGENT_PACKAGES)) -lpthread
$(BUILD)/tally: $(TOOL_OBJECTS) $(BUILD)/libagent.a $(BUILD)/libtally.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(call pkg_libs,$(AGENT_PACKAGES) $(TOOL_PACKAGES)) -lpthread

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
