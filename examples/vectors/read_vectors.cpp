// Reads test vectors, computes y, dx, dw and db by plain loops, and compares with ==.
//
//   c++ -std=c++17 -O2 -o read_vectors read_vectors.cpp
//   ./read_vectors vectors/*.bin
//
// Exit code: 0 all right, 1 a number differs, 2 a file cannot be read.

#include <array>
#include <cstddef>
#include <exception>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "bin_file.hpp"

using Size = long long;
using Extents = std::array<Size, 5>;  // (n, c, h, i, j), (n, c, q, r, s) or (f, c, m, k, l)

// A layer of one or two dimensions is one of three, whose leading extents are 1.
Extents as3d(const std::vector<std::size_t>& shape) {
    if (shape.size() < 3 || shape.size() > 5) throw std::runtime_error("expected one to three spatial axes");
    Extents e{static_cast<Size>(shape[0]), static_cast<Size>(shape[1]), 1, 1, 1};
    for (std::size_t axis = 2; axis < shape.size(); ++axis)
        e[axis + 5 - shape.size()] = static_cast<Size>(shape[axis]);
    return e;
}

// One number an axis, out of those of a parameter: of padding every second one, the zeros before.
std::array<Size, 3> per_axis(const std::vector<Size>& values, std::size_t rank, Size absent) {
    std::array<Size, 3> result{absent, absent, absent};
    if (values.size() % rank) throw std::runtime_error("a parameter does not fit the dimensions");
    const std::size_t step = values.size() / rank;
    for (std::size_t axis = 0; axis < rank; ++axis) result[axis + 3 - rank] = values[axis * step];
    return result;
}

std::size_t at(const Extents& e, Size a, Size b, Size c, Size d, Size last) {
    return static_cast<std::size_t>((((a * e[1] + b) * e[2] + c) * e[3] + d) * e[4] + last);
}

const bin::Array& operand(const bin::File& file, const std::string& name) {
    auto found = file.arrays.find(name);
    if (found == file.arrays.end()) throw std::runtime_error("array " + name + " is missing");
    return found->second;
}

struct Layer {
    Extents X, W, Y;
    std::array<Size, 3> stride, dilation, padding;
    Size groups;
    bool flip;  // a true convolution flips the kernel

    explicit Layer(const bin::File& file) {
        const auto &x = operand(file, "x").shape, &w = operand(file, "w").shape, &dy = operand(file, "dy").shape;
        X = as3d(x), W = as3d(w), Y = as3d(dy);
        const std::size_t rank = x.size() - 2;
        stride = per_axis(bin::numbers(bin::parameter(file, "stride")), rank, 1);
        dilation = per_axis(bin::numbers(bin::parameter(file, "dilation")), rank, 1);
        padding = per_axis(bin::numbers(bin::parameter(file, "padding")), rank, 0);
        groups = bin::numbers(bin::parameter(file, "groups"))[0];
        flip = bin::parameter(file, "mode").text == "convolution";
        const bool fits = w.size() == x.size() && dy.size() == x.size() && groups > 0 && W[0] % groups == 0 &&
                          X[0] == Y[0] && X[1] == W[1] * groups && W[0] == Y[1] &&
                          operand(file, "b").shape == std::vector<std::size_t>{w[0]};
        if (!fits) throw std::runtime_error("the shapes do not fit together");
    }
};

std::map<std::string, std::vector<double>> gradients(const bin::File& file) {
    const Layer layer(file);
    const auto& [X, W, Y, stride, dilation, padding, groups, flip] = layer;
    const auto &x = operand(file, "x").data, &w = operand(file, "w").data;
    const auto &dy = operand(file, "dy").data, &b = operand(file, "b").data;
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size()), db(b.size());

    for (Size n = 0; n < Y[0]; ++n)
    for (Size f = 0; f < Y[1]; ++f)
    for (Size h = 0; h < Y[2]; ++h)
    for (Size i = 0; i < Y[3]; ++i)
    for (Size j = 0; j < Y[4]; ++j) {
        const std::size_t out = at(Y, n, f, h, i, j);
        y[out] += b[f];
        db[f] += dy[out];

        for (Size c = 0; c < W[1]; ++c)  // of the group that f belongs to
        for (Size m = 0; m < W[2]; ++m)
        for (Size k = 0; k < W[3]; ++k)
        for (Size l = 0; l < W[4]; ++l) {
            const Size q = h * stride[0] + m * dilation[0] - padding[0];
            const Size r = i * stride[1] + k * dilation[1] - padding[1];
            const Size s = j * stride[2] + l * dilation[2] - padding[2];
            if (q < 0 || q >= X[2] || r < 0 || r >= X[3] || s < 0 || s >= X[4]) continue;  // in the padding

            const std::size_t in = at(X, n, f / (W[0] / groups) * W[1] + c, q, r, s);
            const std::size_t tap = flip ? at(W, f, c, W[2] - 1 - m, W[3] - 1 - k, W[4] - 1 - l) : at(W, f, c, m, k, l);
            y[out] += x[in] * w[tap];
            dx[in] += dy[out] * w[tap];
            dw[tap] += dy[out] * x[in];
        }
    }
    return {{"y", y}, {"dx", dx}, {"dw", dw}, {"db", db}};
}

bool compare(const std::string& title, const std::vector<double>& got, const std::vector<double>& expected) {
    if (got.size() != expected.size()) {
        std::cout << "WRONG " << title << ": " << got.size() << " numbers, expected " << expected.size() << "\n";
        return false;
    }
    std::size_t wrong = 0, first = 0;
    for (std::size_t i = got.size(); i-- > 0;)
        if (!(got[i] == expected[i])) ++wrong, first = i;
    if (wrong)
        std::cout << "WRONG " << title << ": " << wrong << " of " << got.size() << " differ; number " << first << " is "
                  << got[first] << ", expected " << expected[first] << "\n";
    else
        std::cout << "ok    " << title << ": " << got.size() << " numbers\n";
    return !wrong;
}

int main(int argc, char** argv) {
    if (argc < 2) {
        std::cerr << "usage: read_vectors FILE.bin...\n";
        return 2;
    }
    bool right = true;
    for (int k = 1; k < argc; ++k) {
        const std::string path = argv[k];
        try {
            const bin::File file = bin::read(path);
            for (const auto& [name, got] : gradients(file))
                right &= compare(path + " " + name, got, operand(file, name).data);
        } catch (const std::exception& error) {
            std::cerr << path << ": " << error.what() << "\n";
            return 2;
        }
    }
    return right ? 0 : 1;
}
