"""Design of glasses: generate, measure, judge as a hit of the benchmark, until there are enough."""
