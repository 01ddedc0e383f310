// Stands in for the message of std_msgs: its data, all that a node of the docs reads and writes.

#pragma once

#include <memory>
#include <vector>

namespace std_msgs::msg {
struct Float32MultiArray {
    using SharedPtr = std::shared_ptr<Float32MultiArray>;
    std::vector<float> data;
};
}
