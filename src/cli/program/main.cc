#include "cli/context.h"

int main(int argc, char** argv) { return halogen::cli::run(argc, argv); }
