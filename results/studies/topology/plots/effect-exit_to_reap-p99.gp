# Drawn by forksim plot; run `gnuplot effect-exit_to_reap-p99.gp` in this folder to draw it again.
set terminal svg size 1000,320 font "DejaVu Sans,13" background "white" noenhanced name "effect_exit_to_reap_p99"
set output "effect-exit_to_reap-p99.svg"
set title "topology: exit_to_reap.p99 by kernel"
set xlabel "exit_to_reap.p99 relative to kernel = rpi-4.19-arm64, 95 % interval, 20 seeds"
set logscale x
set xrange [0.004614:1.418]
set xtics ("" 0.005 1, "" 0.006 1, "" 0.007 1, "" 0.008 1, "" 0.009 1, "0.01" 0.01, "" 0.02 1, "" 0.03 1, "" 0.04 1, "" 0.05 1, "" 0.06 1, "" 0.07 1, "" 0.08 1, "" 0.09 1, "0.1" 0.1, "" 0.2 1, "" 0.3 1, "" 0.4 1, "" 0.5 1, "" 0.6 1, "" 0.7 1, "" 0.8 1, "" 0.9 1, "1" 1)
set format x "%.4g"
set yrange [0.4:1.6]
set ytics ("mc-4.19-arm64" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-exit_to_reap-p99.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-exit_to_reap-p99.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_storm_loaded", \
     "effect-exit_to_reap-p99.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "make_j4", \
     "effect-exit_to_reap-p99.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_rate", \
     "effect-exit_to_reap-p99.dat" index 4 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#e69f00" title "fork_clients"
unset output
set terminal pngcairo size 1000,320 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-exit_to_reap-p99.png"
replot
unset output
