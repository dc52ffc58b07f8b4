/* doctor.c: what is wrong, and what to do about it. */
#include "doctor.h"
#include "arena_scan.h"
#include "document.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char help[] = "Usage: tally doctor [--check] [--arena NAME]... [--state-dir DIR] [--json]\n"
                           "\n"
                           "Look over the machine, shared memory, the agent and the database. Each line is\n"
                           "ok, warn or fail; what is not ok comes with what to do. Exit status 1 if\n"
                           "anything fails.\n"
                           "\n"
                           "  --check          read the whole database too (takes a while if it is large)\n"
                           "  --arena NAME     instead of TALLY_ARENA or the default; may be repeated\n"
                           "  --state-dir DIR  where usage.db is\n"
                           "  --json           as JSON\n";

enum { OPTION_CHECK = OPTION_OWN };

static const char *const levels[] = {"ok", "warn", "fail"};

void doctor_find(struct doctor *doctor, enum finding_level level, const char *check, const char *remedy,
                 const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        out_of_memory();
    va_end(arguments);
    doctor->findings = must_resize(doctor->findings, doctor->count + 1, sizeof(*doctor->findings));
    doctor->findings[doctor->count++] =
        (struct finding){.level = level, .check = check, .text = text, .remedy = remedy};
}

static enum finding_level worst(const struct doctor *doctor)
{
    enum finding_level level = FINDING_OK;

    for (size_t i = 0; i < doctor->count; i++) {
        if (doctor->findings[i].level > level)
            level = doctor->findings[i].level;
    }
    return level;
}

static void print_json(const struct doctor *doctor)
{
    cJSON *document = document_new("doctor", 1);
    cJSON *checks = document_array();

    document_text(document, "result", levels[worst(doctor)]);
    for (size_t i = 0; i < doctor->count; i++) {
        const struct finding *finding = &doctor->findings[i];
        cJSON *check = document_object();
        document_text(check, "check", finding->check);
        document_text(check, "result", levels[finding->level]);
        document_text(check, "finding", finding->text);
        document_text(check, "remedy", finding->remedy);
        document_append(checks, check);
    }
    document_item(document, "checks", checks);
    document_print(document);
}

static void print_people(const struct doctor *doctor)
{
    static const char *const verdicts[] = {"All is well.", "It works; see the warnings.",
                                           "Something is wrong: see what fails."};

    for (size_t i = 0; i < doctor->count; i++) {
        const struct finding *finding = &doctor->findings[i];
        char *text = text_shown(finding->text, strlen(finding->text));
        printf("%-4s  %-11s %s\n", levels[finding->level], finding->check, text);
        if (finding->remedy != NULL)
            printf("                  %s\n", finding->remedy);
        free(text);
    }
    printf("\n%s\n", verdicts[worst(doctor)]);
}

static int examine(struct doctor *doctor)
{
    char *paths[ARENAS_MAX];
    int count = arena_paths(&doctor->common, paths);

    if (count < 0)
        return EXIT_MISUSE;
    doctor_system(doctor);
    for (int i = 0; i < count; i++) {
        doctor_arena(doctor, paths[i]);
        free(paths[i]);
    }
    doctor_spill(doctor);
    doctor_store(doctor);
    if (doctor->common.format == FORMAT_JSON)
        print_json(doctor);
    else
        print_people(doctor);
    return worst(doctor) == FINDING_FAIL ? EXIT_PROBLEM : EXIT_SUCCESS;
}

int doctor_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"check", no_argument, NULL, OPTION_CHECK},
        COMMON_ARENA,
        COMMON_STATE,
        COMMON_FORMAT,
        COMMON_HELP,
        COMMON_END,
    };
    struct doctor doctor = {0};
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "", longs, help, &doctor.common, &status)) >= 0)
        doctor.thorough = true;
    if (code == OPTIONS_EXIT || (status = no_more_arguments(argc, argv)) != EXIT_SUCCESS ||
        (status = format_without_csv(&doctor.common)) != EXIT_SUCCESS)
        return status;
    status = examine(&doctor);
    for (size_t i = 0; i < doctor.count; i++)
        free(doctor.findings[i].text);
    free(doctor.findings);
    return status;
}
