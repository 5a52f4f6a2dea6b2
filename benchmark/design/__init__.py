"""Design of glasses with chosen properties: generate, measure, judge as a hit of the benchmark, until there are enough."""
