shared double team_64[gl_WorkGroupSize.x];

// What every member of a team of TEAM invocations gets: the sum of their numbers.
double sum_of_team(double x) {
    uint own = gl_LocalInvocationIndex;
    team_64[own] = x;
    barrier();
    for (uint left = TEAM / 2; left > 0; left /= 2) {
        if (own % TEAM < left) team_64[own] += team_64[own + left];
        barrier();
    }
    double sum = team_64[own / TEAM * TEAM];
    barrier();
    return sum;
}

// What every member of a team of TEAM invocations gets: the largest of their numbers.
double maximum_of_team(double x) {
    uint own = gl_LocalInvocationIndex;
    team_64[own] = x;
    barrier();
    for (uint left = TEAM / 2; left > 0; left /= 2) {
        if (own % TEAM < left) team_64[own] = maximum(team_64[own], team_64[own + left]);
        barrier();
    }
    double most = team_64[own / TEAM * TEAM];
    barrier();
    return most;
}
