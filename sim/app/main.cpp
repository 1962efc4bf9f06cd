#include <cstdio>
int main() { std::puts("forksim"); }
