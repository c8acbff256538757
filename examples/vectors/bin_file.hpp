// Reads and writes .bin files: 8 bytes, the length of a header, little-endian; the header, JSON; then raw numbers,
// little-endian and row-major. It is the layout of safetensors.
//
//   {"__metadata__": {"stride": "[1, 1]"}, "x": {"dtype": "F32", "shape": [1, 4, 8, 8], "data_offsets": [0, 1024]}}
//
// C++17, no libraries. What is wrong with a file is told by an exception.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bin {

struct Array {
    std::vector<std::size_t> shape;
    std::vector<double> data;  // row-major; a double holds every float
};

struct File {
    std::map<std::string, Array> arrays;
    std::map<std::string, std::string> parameters;  // JSON text, such as "[2, 2]"
};

// As much of JSON as headers need: objects, arrays, strings and numbers.
struct Json {
    std::map<std::string, Json> members;
    std::vector<Json> items;
    std::string text;
    double number = 0;

    const Json& at(const std::string& key) const {
        auto found = members.find(key);
        if (found == members.end()) throw std::runtime_error("the header lacks \"" + key + "\"");
        return found->second;
    }
};

class Parser {
public:
    explicit Parser(const std::string& source) : source_(source) {}

    Json document() {
        Json value = parse(0);
        if (peek()) fail("the end");
        return value;
    }

private:
    static constexpr int kDeepest = 8;

    Json parse(int depth) {
        if (depth > kDeepest) fail("less nesting");
        Json value;
        switch (peek()) {
            case '{':
                list('}', [&] {
                    std::string key = string();
                    expect(':');
                    value.members[key] = parse(depth + 1);
                });
                break;
            case '[':
                list(']', [&] { value.items.push_back(parse(depth + 1)); });
                break;
            case '"':
                value.text = string();
                break;
            default:
                value.number = number();
        }
        return value;
    }

    template <class Item>
    void list(char end, Item item) {
        ++at_;
        if (peek() != end) {
            item();
            while (peek() == ',') {
                ++at_;
                item();
            }
        }
        expect(end);
    }

    std::string string() {
        expect('"');
        std::string result;
        while (at_ < source_.size() && source_[at_] != '"') {
            if (source_[at_] == '\\') result += escaped();
            else result += source_[at_++];
        }
        expect('"');
        return result;
    }

    std::string escaped() {
        if (++at_ >= source_.size()) fail("an escape");
        char letter = source_[at_++];
        switch (letter) {
            case 'n': return "\n";
            case 't': return "\t";
            case 'r': return "\r";
            case 'b': return "\b";
            case 'f': return "\f";
            case 'u':  // only in notes for people, which no program needs
                if (source_.size() - at_ < 4) fail("four digits");
                at_ += 4;
                return "?";
            default: return std::string(1, letter);
        }
    }

    double number() {
        const char* start = source_.c_str() + at_;
        char* end = nullptr;
        double result = std::strtod(start, &end);
        if (end == start) fail("a number");
        at_ += static_cast<std::size_t>(end - start);
        return result;
    }

    char peek() {  // the next character that is no space, or 0
        while (at_ < source_.size() && std::strchr(" \t\r\n", source_[at_])) ++at_;
        return at_ < source_.size() ? source_[at_] : '\0';
    }

    void expect(char wanted) {
        if (peek() != wanted) fail(std::string("'") + wanted + "'");
        ++at_;
    }

    [[noreturn]] void fail(const std::string& wanted) const {
        throw std::runtime_error("expected " + wanted + " at byte " + std::to_string(at_) + " of JSON");
    }

    const std::string& source_;
    std::size_t at_ = 0;
};

// Up to here every integer is a double, and sums of a few do not overflow.
inline long long integer(const Json& value) {
    if (!(value.number >= 0 && value.number <= 9e15)) throw std::runtime_error("a number is negative or too large");
    return static_cast<long long>(value.number);
}

inline Json parameter(const File& file, const std::string& name) {
    auto found = file.parameters.find(name);
    if (found == file.parameters.end()) throw std::runtime_error("parameter " + name + " is missing");
    return Parser(found->second).document();
}

// The numbers of a parameter, in one row: "[[1, 2], [0, 1]]" gives 1, 2, 0, 1.
inline std::vector<long long> numbers(const Json& value) {
    if (value.items.empty()) return {integer(value)};
    std::vector<long long> result;
    for (const Json& item : value.items)
        for (long long number : numbers(item)) result.push_back(number);
    return result;
}

// A little-endian number of `size` bytes.
inline std::uint64_t little_endian(const char* bytes, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

template <class Float, class Bits>
Float from_bits(std::uint64_t value) {
    Bits bits = static_cast<Bits>(value);
    Float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline Array read_array(const Json& entry, const std::string& content, std::size_t data_start) {
    const std::string& dtype = entry.at("dtype").text;
    if (dtype != "F32" && dtype != "F64") throw std::runtime_error("dtype " + dtype + " is not F32 or F64");
    const std::size_t width = dtype == "F32" ? 4 : 8, available = content.size() - data_start;
    const auto& offsets = entry.at("data_offsets").items;
    if (offsets.size() != 2) throw std::runtime_error("data_offsets are not two numbers");
    const auto begin = static_cast<std::size_t>(integer(offsets[0]));
    const auto end = static_cast<std::size_t>(integer(offsets[1]));
    if (begin > end || end > available) throw std::runtime_error("data_offsets lie outside of the file");
    Array array;
    std::size_t count = 1;
    for (const Json& item : entry.at("shape").items) {
        const auto extent = static_cast<std::size_t>(integer(item));
        array.shape.push_back(extent);
        if (extent && count > available / extent) throw std::runtime_error("a shape is larger than the file");
        count *= extent;
    }
    if (count * width != end - begin) throw std::runtime_error("shape and data_offsets disagree");
    const char* bytes = content.data() + data_start + begin;
    array.data.reserve(count);
    for (std::size_t i = 0; i < count; ++i, bytes += width) {
        const std::uint64_t bits = little_endian(bytes, width);
        array.data.push_back(width == 4 ? from_bits<float, std::uint32_t>(bits)
                                        : from_bits<double, std::uint64_t>(bits));
    }
    return array;
}

inline File read(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    if (!stream) throw std::runtime_error("it cannot be read");
    if (content.size() < 8) throw std::runtime_error("it is shorter than 8 bytes");
    const std::uint64_t length = little_endian(content.data(), 8);
    if (length > content.size() - 8) throw std::runtime_error("the header is longer than the file");
    const std::string header = content.substr(8, static_cast<std::size_t>(length));
    File file;
    for (const auto& [name, entry] : Parser(header).document().members) {
        if (name != "__metadata__") file.arrays[name] = read_array(entry, content, 8 + header.size());
        else
            for (const auto& [key, value] : entry.members) file.parameters[key] = value.text;
    }
    return file;
}

// Writes float32; parameters are not written.
inline void write(const std::string& path, const std::map<std::string, Array>& arrays) {
    std::string header, data;
    for (const auto& [name, array] : arrays) {
        std::string shape;
        for (std::size_t extent : array.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
        const std::size_t begin = data.size();
        for (double value : array.data) {
            const float narrow = static_cast<float>(value);
            std::uint32_t bits;
            std::memcpy(&bits, &narrow, 4);
            for (int shift = 0; shift < 32; shift += 8) data += static_cast<char>(bits >> shift & 0xff);
        }
        header += (header.empty() ? "{\"" : ", \"") + name + "\": {\"dtype\": \"F32\", \"shape\": [" + shape +
                  "], \"data_offsets\": [" + std::to_string(begin) + ", " + std::to_string(data.size()) + "]}";
    }
    header += "}";
    const std::uint64_t size = header.size();
    std::string length;
    for (int shift = 0; shift < 64; shift += 8) length += static_cast<char>(size >> shift & 0xff);
    std::ofstream stream(path, std::ios::binary);
    stream << length << header << data;
    if (!stream.flush()) throw std::runtime_error(path + " cannot be written");
}

}  // namespace bin
