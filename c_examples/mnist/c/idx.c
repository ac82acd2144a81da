#include "idx.h"

enum { IMAGES_MAGIC = 0x803, LABELS_MAGIC = 0x801, IMAGES_HEADER = 16, LABELS_HEADER = 8 };

static uint32_t big_endian(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The header is there, and it is that of a file of this kind. */
static bool check_header(idx_file f, const char *kind, uint32_t magic, size_t header, failure *why) {
    if (f.length < header) {
        return fail(why, "%s: truncated: %zu bytes are less than the %zu of an IDX header", f.name, f.length, header);
    }
    if (big_endian(f.bytes) != magic) {
        return fail(why, "%s: not an IDX file of %s: it starts with 0x%08lx instead of 0x%08lx", f.name, kind,
                    (unsigned long)big_endian(f.bytes), (unsigned long)magic);
    }
    return true;
}

/* The items that the header counts fill the file to the last byte. */
static bool check_length(idx_file f, const char *kind, size_t header, size_t item, failure *why) {
    uint64_t expected = header + (uint64_t)item * big_endian(f.bytes + 4);
    if (f.length != expected) {
        return fail(why, "%s: %s: its header promises %llu bytes of %s, the file has %zu", f.name,
                    f.length < expected ? "truncated" : "too long", (unsigned long long)expected, kind, f.length);
    }
    return true;
}

bool idx_parse(idx_file images, idx_file labels, digits *out, failure *why) {
    if (!check_header(images, "images", IMAGES_MAGIC, IMAGES_HEADER, why) ||
        !check_header(labels, "labels", LABELS_MAGIC, LABELS_HEADER, why)) {
        return false;
    }
    uint32_t rows = big_endian(images.bytes + 8);
    uint32_t columns = big_endian(images.bytes + 12);
    if (rows != SIDE || columns != SIDE) {
        return fail(why, "%s: images of %lu x %lu pixels, expected %d x %d", images.name, (unsigned long)rows,
                    (unsigned long)columns, SIDE, SIDE);
    }
    if (!check_length(images, "images", IMAGES_HEADER, PIXELS, why) ||
        !check_length(labels, "labels", LABELS_HEADER, 1, why)) {
        return false;
    }
    uint32_t count = big_endian(images.bytes + 4);
    uint32_t label_count = big_endian(labels.bytes + 4);
    if (count != label_count) {
        return fail(why, "%s: %lu labels for the %lu images of %s", labels.name, (unsigned long)label_count,
                    (unsigned long)count, images.name);
    }
    if (count == 0) {
        return fail(why, "%s: contains no images", images.name);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t label = labels.bytes[LABELS_HEADER + i];
        if (label >= CLASSES) {
            return fail(why, "%s: label %lu is %u, expected 0 to %d", labels.name, (unsigned long)i, label,
                        CLASSES - 1);
        }
    }
    *out = (digits){images.bytes + IMAGES_HEADER, labels.bytes + LABELS_HEADER, count};
    return true;
}
