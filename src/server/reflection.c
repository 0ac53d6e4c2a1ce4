/*
 * grpc.reflection.v1 and v1alpha (same messages): what grpcurl and friends ask to learn the
 * API. Answers come out of the serialized FileDescriptorSet (wire/descriptors.h), walked in
 * place: it is small, trusted, and asked for by people. Source: grpc/doc/server-reflection.md;
 * field numbers from google/protobuf/descriptor.proto.
 */
#include <string.h>

#include "server/dispatch.h"
#include "wire/descriptors.h"

struct span {
    const uint8_t *data;
    size_t n;
};

struct field {
    uint32_t number;
    uint64_t value;    /* varint */
    struct span bytes; /* length-delimited */
};

static uint64_t read_varint(struct span *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; in->n > 0 && shift < 64; shift += 7) {
        uint8_t byte = *in->data++;
        in->n--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            break;
    }
    return value;
}

/* Descriptors hold varints and length-delimited fields, and 64-bit doubles only in options we
 * never enter. */
static bool next_field(struct span *in, struct field *ret)
{
    if (in->n == 0)
        return false;
    uint64_t key = read_varint(in);
    *ret = (struct field){.number = (uint32_t)(key >> 3)};
    if ((key & 7) == 0) {
        ret->value = read_varint(in);
        return true;
    }
    if ((key & 7) != 2)
        return false;
    uint64_t n = read_varint(in);
    CHECK(n <= in->n); /* generated at build time; a wrong array must not read past itself */
    ret->bytes = (struct span){in->data, (size_t)n};
    in->data += n;
    in->n -= (size_t)n;
    return true;
}

static struct span get_bytes(struct span message, uint32_t number)
{
    struct field f;
    while (next_field(&message, &f))
        if (f.number == number)
            return f.bytes;
    return (struct span){0};
}

static uint64_t get_value(struct span message, uint32_t number)
{
    struct field f;
    while (next_field(&message, &f))
        if (f.number == number)
            return f.value;
    return 0;
}

static bool span_is(struct span s, const char *text, size_t n)
{
    return s.n == n && memcmp(s.data, text, n) == 0;
}

/* FileDescriptorSet.file = 1. */
static bool next_file(struct span *set, struct span *ret)
{
    struct field f;
    if (!next_field(set, &f))
        return false;
    *ret = f.bytes;
    return true;
}

#define FILE_NAME 1
#define FILE_PACKAGE 2
#define FILE_SERVICE 6
#define FILE_EXTENSION 7
#define FIELD_EXTENDEE 2
#define FIELD_NUMBER 3

enum kind { KIND_FILE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_LEAF };

/* Which fields of a descriptor hold named children, and what those are. Their name is field 1
 * everywhere. */
static const struct child {
    enum kind parent;
    uint32_t number;
    enum kind kind;
} children[] = {
    {KIND_FILE, 4, KIND_MESSAGE}, {KIND_FILE, 5, KIND_ENUM},       {KIND_FILE, 6, KIND_SERVICE},
    {KIND_FILE, 7, KIND_LEAF},    {KIND_MESSAGE, 3, KIND_MESSAGE}, {KIND_MESSAGE, 4, KIND_ENUM},
    {KIND_MESSAGE, 2, KIND_LEAF}, {KIND_MESSAGE, 6, KIND_LEAF},    {KIND_MESSAGE, 8, KIND_LEAF},
    {KIND_ENUM, 2, KIND_LEAF},    {KIND_SERVICE, 2, KIND_LEAF},
};

static bool has_symbol(struct span descriptor, enum kind kind, const char *symbol)
{
    size_t n = strcspn(symbol, ".");
    struct field f;
    while (next_field(&descriptor, &f)) {
        for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
            if (children[i].parent != kind || children[i].number != f.number ||
                !span_is(get_bytes(f.bytes, 1), symbol, n))
                continue;
            return symbol[n] == '\0' || has_symbol(f.bytes, children[i].kind, symbol + n + 1);
        }
    }
    return false;
}

static bool file_has_symbol(struct span file, const char *symbol)
{
    struct span package = get_bytes(file, FILE_PACKAGE);
    if (strncmp(symbol, (const char *)package.data, package.n) != 0 || symbol[package.n] != '.')
        return false;
    return has_symbol(file, KIND_FILE, symbol + package.n + 1);
}

/* ".google.protobuf.MethodOptions" extends "google.protobuf.MethodOptions". */
static bool extends(struct span extension, const char *type)
{
    struct span extendee = get_bytes(extension, FIELD_EXTENDEE);
    return extendee.n > 0 &&
           span_is((struct span){extendee.data + 1, extendee.n - 1}, type, strlen(type));
}

static bool file_has_extension(struct span file, const char *type, int32_t number)
{
    struct field f;
    while (next_field(&file, &f))
        if (f.number == FILE_EXTENSION && extends(f.bytes, type) &&
            (int32_t)get_value(f.bytes, FIELD_NUMBER) == number)
            return true;
    return false;
}

static bool file_matches(struct span file, const Grpc__ServerReflectionRequest *req)
{
    switch ((int)req->message_request_case) {
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        return span_is(get_bytes(file, FILE_NAME), req->file_by_filename,
                       strlen(req->file_by_filename));
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        return file_has_symbol(file, req->file_containing_symbol);
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        return file_has_extension(file, req->file_containing_extension->containing_type,
                                  req->file_containing_extension->extension_number);
    default:
        return false;
    }
}

static void reply(struct call *call, Grpc__ServerReflectionRequest *req,
                  Grpc__ServerReflectionResponse__MessageResponseCase which, void *part)
{
    Grpc__ServerReflectionResponse response = GRPC__SERVER_REFLECTION_RESPONSE__INIT;
    response.valid_host = req->host;
    response.original_request = req;
    response.message_response_case = which;
    response.file_descriptor_response = part; /* all parts are pointers in one union */
    if (call_send_message(call, &response) < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

static void send_error(struct call *call, Grpc__ServerReflectionRequest *req,
                       enum err_code code, const char *text)
{
    Grpc__ErrorResponse error = GRPC__ERROR_RESPONSE__INIT;
    error.error_code = (int32_t)code;
    error.error_message = (char *)text;
    reply(call, req, GRPC__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE, &error);
}

static void answer_file(struct call *call, Grpc__ServerReflectionRequest *req)
{
    struct span set = {descriptor_set, descriptor_set_len}, file;
    while (next_file(&set, &file)) {
        if (!file_matches(file, req))
            continue;
        ProtobufCBinaryData bytes = {.len = file.n, .data = (uint8_t *)file.data};
        Grpc__FileDescriptorResponse part = GRPC__FILE_DESCRIPTOR_RESPONSE__INIT;
        part.n_file_descriptor_proto = 1;
        part.file_descriptor_proto = &bytes;
        reply(call, req,
              GRPC__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE,
              &part);
        return;
    }
    send_error(call, req, ERR_NOT_FOUND, "not found");
}

#define MAX_SERVICES 32 /* ours are 8 */
#define MAX_EXTENSIONS 16

static void answer_services(struct call *call, Grpc__ServerReflectionRequest *req)
{
    Grpc__ServiceResponse services[MAX_SERVICES];
    Grpc__ServiceResponse *pointers[MAX_SERVICES];
    char names[MAX_SERVICES]
              [128]; /* the longest is 45; a longer one would be cut, not overrun */
    Grpc__ListServiceResponse part = GRPC__LIST_SERVICE_RESPONSE__INIT;
    part.service = pointers;
    struct span set = {descriptor_set, descriptor_set_len}, file;
    while (next_file(&set, &file)) {
        struct span package = get_bytes(file, FILE_PACKAGE);
        struct field f;
        while (next_field(&file, &f) && part.n_service < MAX_SERVICES) {
            if (f.number != FILE_SERVICE)
                continue;
            size_t i = part.n_service++;
            struct span name = get_bytes(f.bytes, 1);
            (void)snprintf(names[i], sizeof(names[i]), "%.*s.%.*s", (int)package.n,
                           package.data, (int)name.n, name.data);
            services[i] = (Grpc__ServiceResponse)GRPC__SERVICE_RESPONSE__INIT;
            services[i].name = names[i];
            pointers[i] = &services[i];
        }
    }
    reply(call, req, GRPC__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE,
          &part);
}

static void answer_extensions(struct call *call, Grpc__ServerReflectionRequest *req)
{
    int32_t numbers[MAX_EXTENSIONS];
    Grpc__ExtensionNumberResponse part = GRPC__EXTENSION_NUMBER_RESPONSE__INIT;
    part.base_type_name = req->all_extension_numbers_of_type;
    part.extension_number = numbers;
    struct span set = {descriptor_set, descriptor_set_len}, file;
    bool known = false;
    while (next_file(&set, &file)) {
        known |= file_has_symbol(file, req->all_extension_numbers_of_type);
        struct field f;
        while (next_field(&file, &f) && part.n_extension_number < MAX_EXTENSIONS)
            if (f.number == FILE_EXTENSION &&
                extends(f.bytes, req->all_extension_numbers_of_type))
                numbers[part.n_extension_number++] = (int32_t)get_value(f.bytes, FIELD_NUMBER);
    }
    if (!known && part.n_extension_number == 0)
        send_error(call, req, ERR_NOT_FOUND, "unknown type");
    else
        reply(call, req,
              GRPC__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE,
              &part);
}

void reflection_on_message(struct call *call, const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Grpc__ServerReflectionRequest *req =
        proto_unpack(&grpc__server_reflection_request__descriptor, data, n, &err);
    if (req == NULL) {
        call_finish(call, &err);
        return;
    }
    switch ((int)req->message_request_case) {
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(call, req);
        break;
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extensions(call, req);
        break;
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
    case GRPC__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        answer_file(call, req);
        break;
    default:
        send_error(call, req, ERR_INVALID_ARGUMENT, "no question in the request");
        break;
    }
}

void reflection_on_half_close(struct call *call)
{
    call_finish(call, NULL);
}
