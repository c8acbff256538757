// A convolution layer as one writes it from scratch: with vectors of matrices. Its dx is wrong.
//
//   c++ -std=c++17 -O2 -o mycnn mycnn.cpp            c++ -std=c++17 -O2 -DFIXED -o mycnn mycnn.cpp
//   ./mycnn vectors/seed-8x8.bin out.bin             the same, with the mistake mended
//
// It knows one image, two dimensions, stride 1, and no padding, dilation or groups; for other layers it exits with 77.

#include <cstddef>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "bin_file.hpp"

class Matrix {
public:
    Matrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), values_(rows * columns) {}

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return columns_; }
    double& at(std::size_t i, std::size_t j) { return values_.at(i * columns_ + j); }
    double at(std::size_t i, std::size_t j) const { return values_.at(i * columns_ + j); }

    Matrix& operator+=(const Matrix& other) {
        for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += other.values_.at(i);
        return *this;
    }

    Matrix& operator+=(double number) {
        for (double& value : values_) value += number;
        return *this;
    }

    double sum() const {
        double result = 0;
        for (double value : values_) result += value;
        return result;
    }

    Matrix rotate_180() const {
        Matrix result(rows_, columns_);
        for (std::size_t i = 0; i < values_.size(); ++i) result.values_[i] = values_[values_.size() - 1 - i];
        return result;
    }

    // The kernel at every place where it lies within the matrix.
    Matrix convolute(const Matrix& kernel) const {
        Matrix result(rows_ - kernel.rows_ + 1, columns_ - kernel.columns_ + 1);
        for (std::size_t i = 0; i < result.rows_; ++i)
            for (std::size_t j = 0; j < result.columns_; ++j)
                for (std::size_t k = 0; k < kernel.rows_; ++k)
                    for (std::size_t l = 0; l < kernel.columns_; ++l)
                        result.at(i, j) += at(i + k, j + l) * kernel.at(k, l);
        return result;
    }

    // The kernel at every place where it meets the matrix.
    Matrix convolute_full(const Matrix& kernel) const {
        Matrix padded(rows_ + 2 * (kernel.rows_ - 1), columns_ + 2 * (kernel.columns_ - 1));
        for (std::size_t i = 0; i < rows_; ++i)
            for (std::size_t j = 0; j < columns_; ++j)
                padded.at(i + kernel.rows_ - 1, j + kernel.columns_ - 1) = at(i, j);
        return padded.convolute(kernel);
    }

private:
    std::size_t rows_, columns_;
    std::vector<double> values_;
};

using Matrices = std::vector<Matrix>;
using Tensor = std::vector<Matrices>;

Tensor rotate_180(const Tensor& kernel) {
    Tensor rotated;
    for (const Matrices& filter : kernel) {
        Matrices part;
        for (const Matrix& matrix : filter) part.push_back(matrix.rotate_180());
        rotated.push_back(part);
    }
    return rotated;
}

Tensor forward(const Tensor& a_prev, const Tensor& kernel, const std::vector<double>& bias) {
    Matrices z;
    for (std::size_t f = 0; f < kernel.size(); ++f) {
        Matrix sum = a_prev.at(0).at(0).convolute(kernel.at(f).at(0));
        for (std::size_t c = 1; c < kernel.at(f).size(); ++c) sum += a_prev.at(0).at(c).convolute(kernel.at(f).at(c));
        z.push_back(sum += bias.at(f));
    }
    return {z};
}

Tensor find_dw(const Tensor& a_prev, const Tensor& dz) {
    const Matrices &a_prevs = a_prev.at(0), &dzs = dz.at(0);
    Tensor dw;
    for (std::size_t f = 0; f < dzs.size(); ++f) {
        Matrices part;
        for (std::size_t c = 0; c < a_prevs.size(); ++c) part.push_back(a_prevs.at(c).convolute(dzs.at(f)));
        dw.push_back(part);
    }
    return dw;
}

Tensor find_dx(const Tensor& dz, const Tensor& kernel) {
    const Matrices& dzs = dz.at(0);
    const Tensor rotated = rotate_180(kernel);
    const Matrix &first = dzs.at(0), &window = kernel.at(0).at(0);
    Matrices dx;
    for (std::size_t c = 0; c < kernel.at(0).size(); ++c) {
        Matrix sum(first.rows() + window.rows() - 1, first.columns() + window.columns() - 1);
        for (std::size_t f = 0; f < dzs.size(); ++f)
#ifdef FIXED
            sum += dzs.at(f).convolute_full(rotated.at(f).at(c));  // dx[c] takes channel c of every filter f
#else
            sum += dzs.at(f).convolute_full(rotated.at(c).at(f));  // no error, as there are as many filters as channels
#endif
        dx.push_back(sum);
    }
    return {dx};
}

std::vector<double> find_db(const Tensor& dz) {
    std::vector<double> db;
    for (const Matrix& matrix : dz.at(0)) db.push_back(matrix.sum());
    return db;
}

Tensor tensor(const bin::Array& array) {
    Tensor result;
    auto value = array.data.begin();
    for (std::size_t n = 0; n < array.shape.at(0); ++n) {
        Matrices matrices;
        for (std::size_t c = 0; c < array.shape.at(1); ++c) {
            Matrix matrix(array.shape.at(2), array.shape.at(3));
            for (std::size_t i = 0; i < matrix.rows(); ++i)
                for (std::size_t j = 0; j < matrix.columns(); ++j) matrix.at(i, j) = *value++;
            matrices.push_back(matrix);
        }
        result.push_back(matrices);
    }
    return result;
}

bin::Array array(const Tensor& tensor) {
    const Matrix& one = tensor.at(0).at(0);
    bin::Array result{{tensor.size(), tensor.at(0).size(), one.rows(), one.columns()}, {}};
    for (const Matrices& matrices : tensor)
        for (const Matrix& matrix : matrices)
            for (std::size_t i = 0; i < matrix.rows(); ++i)
                for (std::size_t j = 0; j < matrix.columns(); ++j) result.data.push_back(matrix.at(i, j));
    return result;
}

// Why this program cannot compute the layer; empty if it can.
std::string missing_feature(const bin::File& file) {
    const std::map<std::string, long long> plain{{"stride", 1}, {"padding", 0}, {"dilation", 1}, {"groups", 1}};
    for (const auto& [name, wanted] : plain)
        for (long long number : bin::numbers(bin::parameter(file, name)))
            if (number != wanted) return name;
    if (bin::parameter(file, "mode").text == "convolution") return "a flipped kernel";
    if (file.arrays.at("x").shape.size() != 4) return "other than two dimensions";
    if (file.arrays.at("x").shape.at(0) != 1) return "more than one image";
    return "";
}

int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: mycnn IN.bin OUT.bin\n";
        return 2;
    }
    try {
        const bin::File file = bin::read(argv[1]);
        if (const std::string feature = missing_feature(file); !feature.empty()) {
            std::cerr << "mycnn does not know " << feature << "\n";
            return 77;
        }
        const Tensor a_prev = tensor(file.arrays.at("x")), kernel = tensor(file.arrays.at("w"));
        const Tensor dz = tensor(file.arrays.at("dy"));
        const auto b = file.arrays.find("b");
        const std::vector<double> bias = b == file.arrays.end() ? std::vector<double>(kernel.size()) : b->second.data;
        bin::write(argv[2], {{"y", array(forward(a_prev, kernel, bias))},
                             {"dx", array(find_dx(dz, kernel))},
                             {"dw", array(find_dw(a_prev, dz))},
                             {"db", {{kernel.size()}, find_db(dz)}}});
    } catch (const std::exception& error) {
        std::cerr << "mycnn: " << error.what() << "\n";
        return 2;
    }
    return 0;
}
