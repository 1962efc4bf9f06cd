# Drawn by forksim plot; run `gnuplot effect-run_delay-p99.gp` in this folder to draw it again.
set terminal svg size 1000,660 font "DejaVu Sans,13" background "white" noenhanced name "effect_run_delay_p99"
set output "effect-run_delay-p99.svg"
set title "rules: run_delay.p99 by rule"
set xlabel "run_delay.p99 relative to rule = kernel, 95 % interval, 20 seeds"
set logscale x
set xrange [0.1017:125]
set xtics ("" 0.2 1, "" 0.3 1, "" 0.4 1, "" 0.5 1, "" 0.6 1, "" 0.7 1, "" 0.8 1, "" 0.9 1, "1" 1, "" 2 1, "" 3 1, "" 4 1, "" 5 1, "" 6 1, "" 7 1, "" 8 1, "" 9 1, "10" 10, "" 20 1, "" 30 1, "" 40 1, "" 50 1, "" 60 1, "" 70 1, "" 80 1, "" 90 1, "100" 100)
set format x "%.4g"
set yrange [0.4:10.6]
set ytics ("parent_cpu" 10, "idlest_load" 9, "idlest_util" 8, "lowest_idle" 7, "round_robin" 6, "random" 5, "cache_warm" 4, "least_queued" 3, "pack" 2, "shortest_queue" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-run_delay-p99.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-run_delay-p99.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_storm_loaded", \
     "effect-run_delay-p99.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "make_j4", \
     "effect-run_delay-p99.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_rate", \
     "effect-run_delay-p99.dat" index 4 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#e69f00" title "fork_clients"
unset output
set terminal pngcairo size 1000,660 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-run_delay-p99.png"
replot
unset output
