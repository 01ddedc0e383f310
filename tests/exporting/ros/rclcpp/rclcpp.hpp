// Stands in for rclcpp where a node of the docs is compiled: spin gives it three messages, publish prints.

#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <std_msgs/msg/float32_multi_array.hpp>
#include <string>
#include <vector>

#define RCLCPP_WARN(logger, ...) (std::printf("%s: ", logger), std::printf(__VA_ARGS__), std::puts(""))

namespace rclcpp {
using Message = std_msgs::msg::Float32MultiArray;

struct Subscription {
    std::function<void(Message::SharedPtr)> answer;
};

struct Publisher {
    void publish(const Message &message)
    {
        for (float value : message.data)
            std::printf("%.6f ", static_cast<double>(value));
        std::puts("");
    }
};

class Node {
public:
    explicit Node(const std::string &name) : name(name) {}

    const char *get_logger() { return name.c_str(); }

    template <typename M>
    std::shared_ptr<Publisher> create_publisher(const std::string &, int)
    {
        return std::make_shared<Publisher>();
    }

    template <typename M, typename F>
    std::shared_ptr<Subscription> create_subscription(const std::string &, int, F answer)
    {
        subscriptions.push_back(std::make_shared<Subscription>(Subscription{answer}));
        return subscriptions.back();
    }

    std::vector<std::shared_ptr<Subscription>> subscriptions;

private:
    std::string name;
};

inline void init(int, char **) {}
inline void shutdown() {}

inline void spin(std::shared_ptr<Node> node)
{
    const std::vector<std::vector<float>> sent{{0.5f, 0.25f}, {0.5f, 0.25f, -0.5f, 0.25f}, {1.0f}};
    for (const auto &numbers : sent)
        for (const auto &subscription : node->subscriptions) {
            auto message = std::make_shared<Message>();
            message->data = numbers;
            subscription->answer(message);
        }
}
}
