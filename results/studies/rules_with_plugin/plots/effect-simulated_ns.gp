# Drawn by forksim plot; run `gnuplot effect-simulated_ns.gp` in this folder to draw it again.
set terminal svg size 1000,660 font "DejaVu Sans,13" background "white" noenhanced name "effect_simulated_ns"
set output "effect-simulated_ns.svg"
set title "rules: simulated_ns by rule"
set xlabel "simulated_ns relative to rule = kernel, 95 % interval, 20 seeds"
set xrange [0.9763:1.146]
set format x "%.4g"
set yrange [0.4:10.6]
set ytics ("parent_cpu" 10, "idlest_load" 9, "idlest_util" 8, "lowest_idle" 7, "round_robin" 6, "random" 5, "cache_warm" 4, "least_queued" 3, "pack" 2, "shortest_queue" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-simulated_ns.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-simulated_ns.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_storm_loaded", \
     "effect-simulated_ns.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "make_j4", \
     "effect-simulated_ns.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_rate", \
     "effect-simulated_ns.dat" index 4 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#e69f00" title "fork_clients"
unset output
set terminal pngcairo size 1000,660 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-simulated_ns.png"
replot
unset output
